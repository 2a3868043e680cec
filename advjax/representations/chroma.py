"""Chromagram of the magnitude spectrogram, and its tonal centroids."""

import dataclasses
import functools
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np

from advjax.representations.base import Representation
from advjax.representations.magnitude import Magnitude
from advjax.signal.chroma import chroma_filterbank, tonnetz_basis
from advjax.types import Bounds, Features, Source


@functools.cache
def _filters(source: Magnitude) -> np.ndarray:
    return chroma_filterbank(
        num_fft=source.num_fft, sample_rate_hz=source.sample_rate_hz
    )


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Chroma(Representation):
    """Chromagram [frames, 12, 1] from C to B, each frame divided by its maximum.

    Source: librosa 0.11 `chroma_stft(tuning=0)` of the power spectrum.

    Attributes:
        source: the magnitude spectrogram; by default with librosa's window and hop.
        floor: added to the maximum of a frame before the division. Digital silence
            stays near zero; in librosa it is zero. One unit of 16-bit audio in the
            middle of a frame is 1e6 floors.
    """

    name: ClassVar[str] = "chroma"
    source: Representation = Magnitude(
        frame_length=2048, hop=512, num_fft=2048, window="hann", preemphasis=0.0
    )
    floor: float = 1e-15

    def step(self, x: Source) -> Features:
        """The chromagram of one magnitude spectrogram."""
        power = jnp.square(x[..., 0])
        # Full float32 on every backend, as in all front ends.
        energies = jnp.dot(power, _filters(self.source), precision="highest")
        greatest = energies.max(axis=1, keepdims=True)
        return (energies / (greatest + self.floor))[..., None]

    @property
    def bounds(self) -> Bounds:
        """Each frame has maximum 1."""
        return (0.0, 1.0)


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class Tonnetz(Representation):
    """Tonal centroids [frames, 6, 1]: fifths, minor and major thirds, two each.

    Source: librosa 0.11 `tonnetz` of the chromagram, each frame divided by its sum. A
    sounding frame of `Chroma` sums to at least 1. A sum below 1/2 is silence, whose
    centroids are near zero.

    Attributes:
        source: the chromagram.
    """

    name: ClassVar[str] = "tonnetz"
    source: Representation = Chroma()

    def step(self, x: Source) -> Features:
        """The tonal centroids of one chromagram."""
        chroma = x[..., 0]
        total = jnp.maximum(jnp.abs(chroma).sum(axis=1, keepdims=True), 0.5)
        centroids = jnp.dot(chroma / total, tonnetz_basis(), precision="highest")
        return centroids[..., None]

    @property
    def bounds(self) -> Bounds:
        """The largest circle of the centroids has radius 1."""
        return (-1.0, 1.0)
