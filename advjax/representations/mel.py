"""Mel-filterbank representations of the magnitude spectrogram."""

import dataclasses
import functools
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

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


def _each_bin(gain, filters):
    """Gain of each bin: the mean gain of its bands, weighted by their filters."""
    weights = filters / np.maximum(filters.sum(axis=1, keepdims=True), 1e-6)
    covered = (filters.sum(axis=1) > 0)[None, :]
    return jnp.where(covered, gain @ weights.T, 1.0)


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class MelEnergies(Representation):
    """Mel energies ("mfbe"), each frame at mean 0 and standard deviation 1.

    There is no logarithm. Every non-silent frame of 64 bands has l2 norm 8, and every
    full input of 160 frames sqrt(10240) = 101.19, whatever the loudness of the clip.

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
        """Magnitudes whose band energies follow `features`.

        The reference supplies each frame's mean and standard deviation, and the fine
        structure within bands. Bins are scaled by the square root of the change of
        their bands.
        """
        clean = _band_energies(self.source, self.num_bands, reference)
        mean, deviation = self._moments(clean)
        # Only the change is added: a sum with the mean would lose quiet bands' digits.
        change = features[..., 0] - (clean - mean) / deviation
        wanted = jnp.maximum(clean + change * deviation, 0.0)
        gain = safe_sqrt(wanted, self.floor) / safe_sqrt(clean, self.floor)
        bin_gain = _each_bin(gain, _filters(self.source, self.num_bands))
        return reference * bin_gain[..., None]

    @property
    def bounds(self) -> Bounds:
        """Limits of sqrt(bands - 1), where one band has all energy of a frame."""
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


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class MelMagnitudes(Representation):
    """Mel bands of magnitudes, [frames, bands, 1], not normalised.

    Bands are linear in the magnitudes: no square, and no division by a frame's own
    standard deviation. A certificate here therefore gives one at the waveform
    (`lipschitz_bound`).

    Attributes:
        source: the magnitude spectrogram.
        num_bands: mel filters from 0 Hz to half the sample rate.
        floor: added to both bands of the ratio in `inverse`.
    """

    name: ClassVar[str] = "melmag"
    source: Representation = Magnitude()
    num_bands: int = 64
    floor: float = 1e-12

    @property
    def filters(self) -> Float[np.ndarray, "bins bands"]:
        """Triangular filters of the bands."""
        return _filters(self.source, self.num_bands)

    def step(self, x: Source) -> Features:
        """Mel bands of one magnitude spectrogram."""
        return jnp.dot(x[..., 0], self.filters, precision="highest")[..., None]

    def inverse(self, features: Features, *, reference: Source) -> Source:
        """Magnitudes whose bands follow `features`; `reference` supplies detail."""
        wanted = jnp.maximum(features, 0.0)
        gain = (wanted + self.floor) / (self.step(reference) + self.floor)
        return reference * _each_bin(gain[..., 0], self.filters)[..., None]

    @property
    def bounds(self) -> Bounds:
        """Sums of magnitudes are not negative."""
        return (0.0, float("inf"))


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Log1pMelMagnitudes(Representation):
    """log(1 + band) of `MelMagnitudes`, which changes by no more than the bands.

    Attributes:
        source: mel bands of magnitudes. Values below 0, which noise can cause, count as
            0.
    """

    name: ClassVar[str] = "log1pmel"
    source: Representation = MelMagnitudes()

    def step(self, x: Source) -> Features:
        """Logarithms of one array of bands."""
        return jnp.log1p(jnp.maximum(x, 0.0))

    def inverse(self, features: Features, *, reference: Source) -> Source:
        """Exact bands of `features`; `reference` is not used."""
        del reference
        return jnp.expm1(features)

    @property
    def bounds(self) -> Bounds:
        """Logarithms of 1 and more."""
        return (0.0, float("inf"))
