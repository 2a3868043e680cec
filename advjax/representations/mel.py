"""Mel-filterbank representations of the magnitude spectrogram."""

import dataclasses
import functools
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np

from advjax.representations.base import Representation
from advjax.representations.magnitude import Magnitude
from advjax.signal.decibels import safe_log, safe_sqrt
from advjax.signal.mel import mel_filterbank
from advjax.types import Bounds, Features, Source


@functools.cache
def _filters(source: Magnitude, num_bands: int) -> np.ndarray:
    return mel_filterbank(
        num_bands=num_bands,
        num_fft=source.num_fft,
        sample_rate_hz=source.sample_rate_hz,
    )


def _band_energies(source, num_bands: int, magnitude):
    """Mel energies of a periodogram |X|^2 / num_fft, [frames, bands]."""
    power = jnp.square(magnitude[..., 0]) / source.num_fft
    # Full float32 on every backend: a lower precision here would be another front end.
    return jnp.dot(power, _filters(source, num_bands), precision="highest")


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class MelEnergies(Representation):
    """Mel energies, each frame brought to mean 0 and deviation 1: "mfbe".

    No logarithm. Every non-silent frame of 64 bands has l2 norm 8, and every full input
    of 160 frames sqrt(10240) = 101.19, whatever the loudness of the clip.

    Source: deep-speaker `audio.py` over python_speech_features 0.6 `fbank`.

    Attributes:
        source: the magnitude spectrogram.
        num_bands: mel filters from 0 Hz to half the sample rate.
        floor: added to a frame's variance; 1e-24 reproduces the original's
            `max(std, 1e-12)` with a finite gradient at silence.
    """

    name: ClassVar[str] = "mfbe"
    source: Representation = Magnitude()
    num_bands: int = 64
    floor: float = 1e-24

    def _moments(self, energies):
        mean = energies.mean(axis=1, keepdims=True)
        variance = jnp.square(energies - mean).mean(axis=1, keepdims=True)
        return mean, safe_sqrt(variance, self.floor)

    def step(self, x: Source) -> Features:
        """Normalised mel energies of one magnitude spectrogram."""
        energies = _band_energies(self.source, self.num_bands, x)
        mean, deviation = self._moments(energies)
        return ((energies - mean) / deviation)[..., None]

    def inverse(self, features: Features, *, reference: Source) -> Source:
        """The magnitudes whose band energies follow `features`.

        The reference lends each frame's mean and deviation and the fine structure
        within bands: bins are scaled by the square root of their bands' change.
        """
        filters = _filters(self.source, self.num_bands)
        clean = _band_energies(self.source, self.num_bands, reference)
        mean, deviation = self._moments(clean)
        wanted = jnp.maximum(features[..., 0] * deviation + mean, 0.0)
        gain = safe_sqrt(wanted, self.floor) / safe_sqrt(clean, self.floor)
        weights = filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-6)
        covered = (filters.sum(axis=1) > 0)[None, :]
        bin_gain = jnp.where(covered, gain @ weights.T, 1.0)
        return reference * bin_gain[..., None]

    @property
    def bounds(self) -> Bounds:
        """sqrt(bands - 1): one band holding all the energy of its frame."""
        most = float(np.sqrt(self.num_bands - 1))
        return (-most, most)


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMel(Representation):
    """Natural logarithm of mel energies, [frames, bands, 1], not normalised.

    Attributes:
        source: the magnitude spectrogram.
        num_bands: mel filters from 0 Hz to half the sample rate.
        floor: added to an energy inside the logarithm; 1e-6 lies about 60 dB below
            conversational speech at full-scale peaks (our choice).
    """

    name: ClassVar[str] = "logmel"
    source: Representation = Magnitude()
    num_bands: int = 64
    floor: float = 1e-6

    def step(self, x: Source) -> Features:
        """Log mel energies of one magnitude spectrogram."""
        energies = _band_energies(self.source, self.num_bands, x)
        return safe_log(energies, self.floor)[..., None]
