"""Recurrence plots: distances between the loudest moments of a clip."""

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
"""No distance at all. One unit of 16-bit audio in one sample leaves 1e-7 of a block."""

_TILE = 256
"""Sorted samples counted in one go; bounds the memory, changes only rounding."""


@final
@dataclasses.dataclass(frozen=True, kw_only=True)
class CrossRecurrence(Representation):
    """|x_i - x_j| between the samples around a clip's peaks, as [size, size, 1].

    Five peaks, 3,000 samples around each at 22.05 kHz, the 15,000 of them joined and
    their recurrence plot brought to 256 x 256 are those of the thesis of the group of
    Esmaeilpour, section 4.6.5. Our readings: a peak's energy is its squared sample; no
    two segments overlap; they are joined in order of time; states are single samples,
    with no delays; distances have no threshold; a pixel is the mean of its block, and
    blocks differ by one sample where `size` is no divisor; the greatest pixel is 1.
    Zero stays no distance, so that an image without contrast gains none.

    Where segments lie is constant to the gradient. Segments without room in the clip
    are zeros, after all others. A clip of one value, as silence is, is black.

    Attributes:
        source: the waveform.
        num_peaks: segments.
        segment: samples in each.
        size: rows and columns of the image.
    """

    name: ClassVar[str] = "cross_recurrence"
    source: Representation = Waveform()
    num_peaks: int = 5
    segment: int = 3000
    size: int = 256

    def __post_init__(self):
        """Refuses more pixels than samples."""
        super().__post_init__()
        if not 1 <= self.size <= self.num_peaks * self.segment:
            raise ValueError(
                f"size={self.size}: give 1 to num_peaks * segment = "
                f"{self.num_peaks * self.segment}, for a pixel has a sample or more"
            )

    def step(self, x: Source) -> Features:
        """The plot of one waveform."""
        starts = peak_starts(x, num_peaks=self.num_peaks, segment=self.segment)
        # Whatever starts at the end of the clip, or passes it, is zeros.
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
        """From the same value to the clip's greatest distance."""
        return (0.0, 1.0)


def peak_starts(wave: Wave, *, num_peaks: int, segment: int) -> Int[Array, "segments"]:
    """First samples of disjoint segments around the loudest samples, in order of time.

    The loudest whose segment, shifted to lie in the clip, overlaps none before is next.

    Args:
        wave: the clip.
        num_peaks: segments to choose.
        segment: samples in each.

    Returns:
        Where each starts; the clip's length, or that of a segment if that is more, for
        those without room.
    """
    # A clip shorter than a segment is one, padded with zeros.
    end = max(len(wave), segment)
    energy = jnp.square(jax.lax.stop_gradient(wave))
    start_of = jnp.clip(jnp.arange(len(wave)) - segment // 2, 0, end - segment)

    def pick(left, _):
        loudest = left.argmax()
        start = start_of[loudest]
        overlaps = jnp.abs(start_of - start) < segment
        # What is taken is -1: less than silence.
        return jnp.where(overlaps, -1.0, left), jnp.where(left[loudest] < 0, end, start)

    return jnp.sort(jax.lax.scan(pick, energy, length=num_peaks)[1])


def mean_distances(
    x: Float[Array, "samples"], *, size: int
) -> Float[Array, "blocks blocks"]:
    """Mean |x_i - x_j| over i in one block and j in another, for all pairs of blocks.

    A gap between neighbours in order of value lies within |x_i - x_j| where one of the
    two is below it and the other above. Blocks with a and b samples below it, of m and
    n, thus owe it a (n - b) + (m - a) b times: a product of matrices over all gaps, as
    exact as the pairs themselves and linear in the gaps.

    Args:
        x: the samples; where two are equal, the gradient takes the later for greater.
        size: blocks, as equal as whole samples allow.
    """
    num = len(x)
    block_of = np.arange(num) * size // num
    lengths = np.bincount(block_of, minlength=size).astype(np.float32)[None, :]

    order = jnp.argsort(jax.lax.stop_gradient(x))
    ascending = x[order]
    gaps = jnp.diff(ascending, append=ascending[-1:])
    # Gaps of 0 fill the last tile, where it does not matter whose they are.
    fill = (0, -num % _TILE)
    gaps = jnp.pad(gaps, fill).reshape(-1, _TILE)
    owners = jnp.pad(jnp.asarray(block_of)[order], fill).reshape(-1, _TILE)
    up_to = np.tri(_TILE, dtype=np.float32)

    # Recomputed for the gradient, or all tiles' counts would be kept.
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
