"""Representations of audio, and the tables of their names."""

from collections.abc import Callable

from advjax.representations.base import (
    Representation,
    definition,
    from_definition,
    probe,
)
from advjax.representations.chroma import Chroma, Tonnetz
from advjax.representations.chunks import ConstantQChunks, LogMelChunks
from advjax.representations.image import Image, Stacked
from advjax.representations.magnitude import Magnitude
from advjax.representations.mel import (
    Log1pMelMagnitudes,
    LogMel,
    MelEnergies,
    MelMagnitudes,
)
from advjax.representations.partials import MelPartials
from advjax.representations.presets import (
    crp,
    dwt,
    dwt_tonnetz,
    ge2e,
    stft,
    stft_tonnetz,
)
from advjax.representations.recurrence import CrossRecurrence
from advjax.representations.scalogram import Scalogram
from advjax.representations.waveform import Waveform

REPRESENTATIONS: dict[str, type[Representation]] = {
    "waveform": Waveform,
    "magnitude": Magnitude,
    "mfbe": MelEnergies,
    "logmel": LogMel,
    "melmag": MelMagnitudes,
    "log1pmel": Log1pMelMagnitudes,
    "logmel_chunks": LogMelChunks,
    "constant_q_chunks": ConstantQChunks,
    "mel_partials": MelPartials,
    "scalogram": Scalogram,
    "chroma": Chroma,
    "tonnetz": Tonnetz,
    "image": Image,
    "stacked": Stacked,
    "cross_recurrence": CrossRecurrence,
}
"""Representations by the name of their stage."""
PRESETS: dict[str, Callable[..., Representation]] = {
    "stft": stft,
    "dwt": dwt,
    "stft_tonnetz": stft_tonnetz,
    "dwt_tonnetz": dwt_tonnetz,
    "crp": crp,
    "ge2e": ge2e,
}
"""Front ends of publications, for clips of any length."""
FRONT_ENDS: dict[str, Callable[..., Representation]] = REPRESENTATIONS | PRESETS
"""All front ends that `catalog.pick` finds by name."""

__all__ = [
    "FRONT_ENDS",
    "PRESETS",
    "REPRESENTATIONS",
    "Chroma",
    "ConstantQChunks",
    "CrossRecurrence",
    "Image",
    "Log1pMelMagnitudes",
    "LogMel",
    "LogMelChunks",
    "Magnitude",
    "MelEnergies",
    "MelMagnitudes",
    "MelPartials",
    "Representation",
    "Scalogram",
    "Stacked",
    "Tonnetz",
    "Waveform",
    "definition",
    "from_definition",
    "probe",
]
