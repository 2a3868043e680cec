"""Representations of audio: the table of contents."""

from advjax.representations.base import (
    Representation,
    definition,
    from_definition,
    probe,
)
from advjax.representations.magnitude import Magnitude
from advjax.representations.mel import LogMel, MelEnergies
from advjax.representations.waveform import Waveform

REPRESENTATIONS: dict[str, type[Representation]] = {
    cls.name: cls for cls in (Waveform, Magnitude, MelEnergies, LogMel)
}

__all__ = [
    "REPRESENTATIONS",
    "LogMel",
    "Magnitude",
    "MelEnergies",
    "Representation",
    "Waveform",
    "definition",
    "from_definition",
    "probe",
]
