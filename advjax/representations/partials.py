"""Mel energies of partial utterances, the input of the GE2E speaker encoder."""

import dataclasses
import functools
import math
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np

from advjax.representations.base import Representation
from advjax.representations.waveform import Waveform
from advjax.signal.decibels import safe_sqrt
from advjax.signal.fourier import stft
from advjax.signal.mel import slaney_filterbank
from advjax.types import Bounds, Features, Source


@functools.cache
def _filters(of: "MelPartials") -> np.ndarray:
    return slaney_filterbank(
        num_bands=of.num_bands,
        num_fft=of.frame_length,
        sample_rate_hz=of.sample_rate_hz,
    )


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class MelPartials(Representation):
    """Mel energies of overlapping partial utterances, [partials, frames, bands, 1].

    Hann frames are centred on every hop, with zeros beyond both ends. Their power is
    filtered by mel filters of equal area; there is no logarithm. A clip quieter than
    `level_dbfs` is raised to that level first.

    Source: Resemblyzer 0.1.4 over librosa 0.11, with all constants:
    `normalize_volume(increase_only=True)`, `wav_to_mel_spectrogram`,
    `compute_partial_slices` and `embed_utterance`. Its `trim_long_silences` is left
    out, because the WebRTC detector has no gradient.

    Attributes:
        source: the waveform.
        frame_length: samples in a frame and in its transform.
        hop: samples between frames.
        num_bands: mel filters from 0 Hz to half the sample rate.
        partial_frames: frames in a partial utterance.
        partials_per_second: partial utterances that begin in a second.
        min_coverage: share of the last partial utterance that must lie in the clip; the
            rest of it is zeros.
        level_dbfs: least root mean square of a clip, in dB below an amplitude of 1.
        floor: added to a clip's mean square, for a finite gradient at silence.
    """

    name: ClassVar[str] = "mel_partials"
    source: Representation = Waveform()
    frame_length: int = 400
    hop: int = 160
    num_bands: int = 40
    partial_frames: int = 160
    partials_per_second: float = 1.3
    min_coverage: float = 0.75
    level_dbfs: float = -30.0
    floor: float = 1e-12

    def __post_init__(self):
        """Refuse a coverage or a rate out of range."""
        super().__post_init__()
        if not 0 < self.min_coverage <= 1:
            raise ValueError(
                f"min_coverage={self.min_coverage:g}: give a share above 0, at most 1"
            )
        if not 1 <= self._step() <= self.partial_frames:
            second = self.sample_rate_hz / self.hop
            raise ValueError(
                f"partials_per_second={self.partials_per_second:g}: give "
                f"{second / self.partial_frames:g} to {second:g}"
            )

    def starts(self, num_samples: int) -> list[int]:
        """First frame of each partial utterance of a clip."""
        step = self._step()
        frames = math.ceil((num_samples + 1) / self.hop)
        starts = list(range(0, max(1, frames - self.partial_frames + step + 1), step))
        covered = num_samples / self.hop - starts[-1]
        if covered < self.min_coverage * self.partial_frames and len(starts) > 1:
            del starts[-1]
        return starts

    def step(self, x: Source) -> Features:
        """Partial utterances of one waveform."""
        starts = self.starts(x.shape[0])
        level = safe_sqrt(jnp.square(x).mean(), self.floor)
        x = x * jnp.maximum(1.0, 10 ** (self.level_dbfs / 20) / level)
        before = self.frame_length // 2
        total = (starts[-1] + self.partial_frames - 1) * self.hop + self.frame_length
        x = jnp.pad(x, (before, max(0, total - before - x.shape[0])))[:total]
        spectrum = stft(
            x,
            length=self.frame_length,
            hop=self.hop,
            num_fft=self.frame_length,
            window="hann",
        )
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        # Full float32 on every backend: less would be another front end.
        energies = jnp.dot(power, _filters(self), precision="highest")
        parts = [energies[start : start + self.partial_frames] for start in starts]
        return jnp.stack(parts)[..., None]

    @property
    def bounds(self) -> Bounds:
        """Energies are not negative."""
        return (0.0, float("inf"))

    def _step(self) -> int:
        """Frames from one partial utterance to the next; 0 without any."""
        rate = self.partials_per_second
        return round(self.sample_rate_hz / rate / self.hop) if rate > 0 else 0
