"""Recurrence plots: distances between the samples around a clip's loudest moments."""

import dataclasses
import functools
from typing import ClassVar, final

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.representations.base import Representation
from advjax.representations.waveform import Waveform
from advjax.signal.extrema import greatest
from advjax.types import Bounds, Features, Source, Wave

_FLAT = 1e-12
"""Largest distance that counts as 0. One 16-bit unit in a sample leaves 1e-7 in a
block."""

_TILE = 256
"""Sorted samples processed at a time; bounds the memory, changes only rounding."""


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossRecurrence(Representation):
    """|x_i - x_j| between the samples around a clip's peaks, as [size, size, 1].

    The constants are those of the thesis of the group of Esmaeilpour, section 4.6.5:
    five peaks, 3,000 samples around each at 22.05 kHz, and the recurrence plot of the
    15,000 joined samples, resized to 256 x 256. Our readings: a peak's energy is its
    squared sample; no two segments overlap; segments are joined in order of time;
    states are single samples, with no delays; distances have no threshold; a pixel is
    the mean of its block, and blocks differ by one sample where `size` does not divide
    the samples; the greatest pixel is 1. Zero stays no distance, so that an image
    without contrast gains none.

    The gradient takes the places of segments as constant. Segments without room in the
    clip are zeros and come last. A clip of one value, such as silence, becomes all
    zeros.

    Attributes:
        source: the waveform.
        num_peaks: number of segments.
        segment: samples in each.
        size: rows and columns of the image.
    """

    name: ClassVar[str] = "cross_recurrence"
    source: Representation = Waveform()
    num_peaks: int = 5
    segment: int = 3000
    size: int = 256

    def __post_init__(self):
        """Refuse more pixels than samples."""
        super().__post_init__()
        if not 1 <= self.size <= self.num_peaks * self.segment:
            raise ValueError(
                f"size={self.size} must be 1 to num_peaks * segment = "
                f"{self.num_peaks * self.segment}: every pixel needs a sample"
            )

    def step(self, x: Source) -> Features:
        """Recurrence plot of one waveform."""
        starts = peak_starts(x, num_peaks=self.num_peaks, segment=self.segment)
        # A segment that starts at the end of the clip is all zeros.
        padded = jnp.pad(x, (0, 2 * self.segment))
        cut = functools.partial(
            jax.lax.dynamic_slice_in_dim, padded, slice_size=self.segment
        )
        distances = mean_distances(jax.vmap(cut)(starts).ravel(), size=self.size)
        farthest = greatest(distances)
        flat = farthest < _FLAT
        plot = jnp.where(flat, 0.0, distances / jnp.where(flat, 1.0, farthest))
        return plot[..., None]

    @property
    def bounds(self) -> Bounds:
        """From equal samples to the clip's greatest distance."""
        return (0.0, 1.0)


def peak_starts(wave: Wave, *, num_peaks: int, segment: int) -> Int[Array, "segments"]:
    """Starts of disjoint segments around the loudest samples, in order of time.

    The next segment is that of the loudest sample whose segment, shifted to lie in the
    clip, overlaps no earlier one.

    Args:
        wave: the clip.
        num_peaks: number of segments.
        segment: samples in each.

    Returns:
        First sample of each segment. Segments without room start at the clip's length,
        or at that of a segment if that is more.
    """
    # A clip shorter than a segment is one segment, padded with zeros.
    end = max(len(wave), segment)
    energy = jnp.square(jax.lax.stop_gradient(wave))
    start_of = jnp.clip(jnp.arange(len(wave)) - segment // 2, 0, end - segment)

    def pick(left, _):
        loudest = left.argmax()
        start = start_of[loudest]
        overlaps = jnp.abs(start_of - start) < segment
        # Samples already covered have energy -1, below silence.
        return jnp.where(overlaps, -1.0, left), jnp.where(left[loudest] < 0, end, start)

    return jnp.sort(jax.lax.scan(pick, energy, length=num_peaks)[1])


def mean_distances(
    x: Float[Array, "samples"], *, size: int
) -> Float[Array, "blocks blocks"]:
    """Mean |x_i - x_j| over the samples of every two blocks.

    A gap between neighbours in order of value counts in |x_i - x_j| if one of the two
    lies below it and the other above. If two blocks of m and n samples have a and b
    samples below the gap, it counts a (n - b) + (m - a) b times. The sum is a product
    of matrices over all gaps: as exact as a sum over pairs, and linear in the number of
    gaps.

    Args:
        x: the samples; of equal samples, the gradient takes the later for the greater.
        size: number of blocks, as equal as whole samples allow.
    """
    num = len(x)
    block_of = np.arange(num) * size // num
    lengths = np.bincount(block_of, minlength=size).astype(np.float32)[None, :]

    order = jnp.argsort(jax.lax.stop_gradient(x))
    ascending = x[order]
    gaps = jnp.diff(ascending, append=ascending[-1:])
    # Gaps of 0 fill the last tile; their owners do not matter.
    fill = (0, -num % _TILE)
    gaps = jnp.pad(gaps, fill).reshape(-1, _TILE)
    owners = jnp.pad(jnp.asarray(block_of)[order], fill).reshape(-1, _TILE)
    up_to = np.tri(_TILE, dtype=np.float32)

    # Recomputed for the gradient; otherwise the counts of all tiles would be kept.
    @jax.checkpoint
    def add(carry, tile):
        before, total = carry
        gap, owner = tile
        ones = jax.nn.one_hot(owner, size)
        below = before + jnp.dot(up_to, ones, precision="highest")
        weighted = gap[:, None] * below
        total += jnp.dot(weighted.T, lengths - below, precision="highest")
        return (below[-1:], total), None

    zeros = (jnp.zeros((1, size)), jnp.zeros((size, size)))
    total = jax.lax.scan(add, zeros, (gaps, owners))[0][1]
    return (total + total.T) / (lengths * lengths.T)
