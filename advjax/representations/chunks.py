"""Spectrograms of clips of any length, split into chunks for a network.

A clip is padded with zeros to whole chunks, and levels are relative to its loudest
entry. Both follow the code of Subramanian et al. 2019 (arXiv:1907.02477), through which
the publication attacks waveforms. `step` accepts every length; `num_samples` of the
waveform is the length of one chunk. `step_padded` accepts more zeros behind; networks
leave out the chunks of these alone.
"""

import dataclasses
import functools
import math
from typing import ClassVar, final

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.padding import Length, Own
from advjax.representations.base import Representation
from advjax.representations.waveform import Waveform
from advjax.signal.constant_q import constant_q_power
from advjax.signal.decibels import safe_log
from advjax.signal.extrema import greatest
from advjax.signal.fourier import stft
from advjax.signal.mel import slaney_filterbank
from advjax.types import Features, Source

CHUNK_SAMPLES = 65_536
"""128 frames of 512 new samples: 2.048 s at 32 kHz."""

# Levels are relative to the loudest entry.
_BOUNDS = property(lambda self: (-float("inf"), 0.0))
_UNITS = property(lambda self: "dB")

_CHUNK = Waveform(sample_rate_hz=32_000, num_samples=CHUNK_SAMPLES)


def relative_db(
    power: Float[Array, "frames bins"], floor: float, frames: Length | None = None
) -> Float[Array, "frames bins"]:
    """Levels in dB relative to the greatest entry; `floor` is added to the power.

    Args:
        power: of all frames.
        floor: least power.
        frames: the greatest entry is one of so many first frames; None for all.
    """
    logs = safe_log(power, floor)
    heard = Own(frames).keep(logs, -jnp.inf)
    return 10 / math.log(10) * (logs - greatest(heard))


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class LogMelChunks(Representation):
    """Mel levels in dB below a clip's loudest entry, [chunks, frames, bands, 1].

    Hann frames begin at every hop, and half of the last one lies past the end. Their
    power is filtered by mel filters of equal area, on Slaney's scale from 0 Hz to half
    the sample rate.

    Source: Subramanian et al. 2019, arXiv:1907.02477; all constants are from their
    code. Iqbal et al. 2018, whose features trained their networks, centre the frames
    and have no floor but librosa's 1e-10.

    Attributes:
        source: the waveform.
        frame_length: samples in a frame and in its transform.
        hop: samples between frames.
        num_bands: mel filters.
        chunk_frames: frames in a chunk.
        floor: added to a band's power inside the logarithm.
    """

    name: ClassVar[str] = "logmel_chunks"
    source: Representation = _CHUNK
    frame_length: int = 1024
    hop: int = 512
    num_bands: int = 64
    chunk_frames: int = 128
    floor: float = 1e-6

    def band_power(self, wave: Float[Array, "time"]) -> Float[Array, "frames bands"]:
        """Mel power of all frames of a wave; an incomplete last hop is padded."""
        count = -(-wave.shape[0] // self.hop)
        behind = (count - 1) * self.hop + self.frame_length - wave.shape[0]
        spectrum = stft(
            jnp.pad(wave, (0, behind)),
            length=self.frame_length,
            hop=self.hop,
            num_fft=self.frame_length,
            window="hann",
        )
        power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
        # Full float32 on every backend: less would be another front end.
        return jnp.dot(power, _filters(self), precision="highest")

    def levels(
        self, wave: Float[Array, "time"], frames: Length | None = None
    ) -> Float[Array, "frames bands"]:
        """Levels of a whole wave, not split into chunks; `frames` as `relative_db`."""
        return relative_db(self.band_power(wave), self.floor, frames)

    def step(self, x: Source) -> Features:
        """Chunks of one waveform, padded with zeros to whole ones."""
        return _chunks_of(self, x)

    def step_padded(self, x: Source, length: Length) -> tuple[Features, Length]:
        """Chunks of one waveform and of its padding, and the number of its own."""
        return _padded_chunks_of(self, x, length)

    bounds = _BOUNDS
    units = _UNITS


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class ConstantQChunks(Representation):
    """Constant-Q levels in dB below a clip's loudest entry, [chunks, frames, bins, 1].

    It has as many frames and bins as `LogMelChunks`, so that the same networks accept
    it. Subramanian et al. 2019 leave this front end for future work. All constants are
    ours: 64 bins, 9 an octave, span 110 Hz to 14 kHz.

    Attributes:
        source: the waveform.
        hop: samples between frames.
        num_bins: number of bins.
        bins_per_octave: bins in one octave.
        low_hz: frequency of the lowest bin.
        chunk_frames: frames in a chunk.
        floor: added to a bin's power inside the logarithm; a tone of amplitude 1 has
            power 1 / 4.
    """

    name: ClassVar[str] = "constant_q_chunks"
    source: Representation = _CHUNK
    hop: int = 512
    num_bins: int = 64
    bins_per_octave: int = 9
    low_hz: float = 110.0
    chunk_frames: int = 128
    floor: float = 1e-10

    def levels(
        self, wave: Float[Array, "time"], frames: Length | None = None
    ) -> Float[Array, "frames bins"]:
        """Levels of a whole wave, not split into chunks; `frames` as `relative_db`."""
        power = constant_q_power(
            wave,
            sample_rate_hz=self.sample_rate_hz,
            hop=self.hop,
            num_bins=self.num_bins,
            bins_per_octave=self.bins_per_octave,
            low_hz=self.low_hz,
        )
        return relative_db(power, self.floor, frames)

    def step(self, x: Source) -> Features:
        """Chunks of one waveform, padded with zeros to whole ones."""
        return _chunks_of(self, x)

    def step_padded(self, x: Source, length: Length) -> tuple[Features, Length]:
        """Chunks of one waveform and of its padding, and the number of its own."""
        return _padded_chunks_of(self, x, length)

    bounds = _BOUNDS
    units = _UNITS


def _chunks_of(
    front_end: "LogMelChunks | ConstantQChunks", x: Source, frames: Length | None = None
) -> Features:
    behind = -x.shape[0] % (front_end.hop * front_end.chunk_frames)
    levels = front_end.levels(jnp.pad(x, (0, behind)), frames)
    return levels.reshape(-1, front_end.chunk_frames, levels.shape[1], 1)


def _padded_chunks_of(
    front_end: "LogMelChunks | ConstantQChunks", x: Source, length: Length
) -> tuple[Features, Length]:
    chunks = -(-length // (front_end.hop * front_end.chunk_frames))
    return _chunks_of(front_end, x, chunks * front_end.chunk_frames), chunks


@functools.cache
def _filters(of: LogMelChunks) -> np.ndarray:
    return slaney_filterbank(
        num_bands=of.num_bands,
        num_fft=of.frame_length,
        sample_rate_hz=of.sample_rate_hz,
    )
