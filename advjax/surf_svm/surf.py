"""SURF: key points of an image, and descriptors of their surroundings.

All shapes are fixed, so that everything compiles. Descriptors are differentiable by the
image at fixed places; the places themselves are not differentiated.

Source: Bay, Ess, Tuytelaars, Van Gool 2008, "Speeded-up robust features", CVIU 110(3),
section 4. The grid of samples and the wavelets are those of mahotas 1.4, the reference
of the tests. Differs: points may be upright, as Bay et al. propose for images that are
never turned, such as spectrograms.

Coordinates are (row, column) in pixels; images are [height, width] in [0, 1].
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from advjax.surf_svm.fast_hessian import (
    Image,
    KeyPoints,
    maxima,
    scale_range,
)

DESCRIPTOR = 64
"""Entries of a descriptor: 4 x 4 cells of 4 sums."""


def key_points(image: Image, *, upright: bool = True, **options) -> KeyPoints:
    """The strongest maxima of the Hessian's determinant over place and scale.

    Args:
        image: in [0, 1].
        upright: leave the angles 0, instead of the dominant direction of gradients.
        **options: of `fast_hessian.maxima`.

    Raises:
        ValueError: the image is too small for a single octave.
    """
    points = maxima(image, **options)
    if upright:
        return points
    counts = {name: n for name, n in options.items() if name.startswith("num_")}
    scales = scale_range(image.shape, **counts)
    return points._replace(angle=dominant_angles(image, points, scales=scales))


class _Haar(NamedTuple):
    """Responses of the two Haar wavelets, of each size, at every pixel.

    `by_column` and `by_row` are [sizes * height * width].
    """

    by_column: Float[Array, "entries"]
    by_row: Float[Array, "entries"]
    sizes: tuple[int, ...]
    shape: tuple[int, int]

    def at(self, row, column, size):
        """Responses at integer places, of wavelets of the given sizes."""
        if len(self.sizes) > 1:
            step = self.sizes[1] - self.sizes[0]
            which = (size - self.sizes[0]) // step
        else:
            which = jnp.zeros_like(size)
        which = jnp.clip(which, 0, len(self.sizes) - 1)
        height, width = self.shape
        row, column = jnp.clip(row, 0, height - 1), jnp.clip(column, 0, width - 1)
        place = (which * height + row) * width + column
        # All places are clipped already.
        return (
            self.by_column.at[place].get(mode="promise_in_bounds"),
            self.by_row.at[place].get(mode="promise_in_bounds"),
        )


def _haar(image: Image, sizes: tuple[int, ...]) -> _Haar:
    """Responses of Haar wavelets: left half minus right, and upper half minus lower.

    A wavelet of size s spans s // 2 pixels before its place and the rest from it on.
    Beyond its edge an image has the values of its edge.
    """
    room = max(sizes)
    mean = image.mean()
    padded = jnp.pad(image - mean, room, mode="edge")
    sums = jnp.cumsum(jnp.cumsum(padded, axis=0), axis=1)
    sums = jnp.pad(sums, ((1, 0), (1, 0)))
    height, width = image.shape

    def corner(row: int, column: int):
        first = room + row, room + column
        return lax.slice(sums, first, (first[0] + height, first[1] + width))

    by_column, by_row = [], []
    for size in sizes:
        before, behind = -(size // 2), size - size // 2
        # For an odd size the halves differ by a line, to which the mean is added back.
        odd = mean * size * (-before - behind)
        c = {
            (row, column): corner(row, column)
            for row in (before, 0, behind)
            for column in (before, 0, behind)
        }

        def box(top, left, bottom, right, c=c):
            return (c[bottom, right] - c[top, right]) - (c[bottom, left] - c[top, left])

        left, right = box(before, before, behind, 0), box(before, 0, behind, behind)
        upper, lower = box(before, before, 0, behind), box(0, before, behind, behind)
        by_column.append(left - right + odd)
        by_row.append(upper - lower + odd)
    tables = (jnp.stack(found).ravel() for found in (by_column, by_row))
    return _Haar(*tables, sizes, (height, width))


_GRID = np.asarray([*np.ndindex(4, 4, 5, 5)])
_ROWS = _GRID[:, 0] * 5 + _GRID[:, 2] - 10
_COLUMNS = _GRID[:, 1] * 5 + _GRID[:, 3] - 10


def _gaussian(rows, columns, deviation: float) -> np.ndarray:
    power = -(rows**2 + columns**2) / (2 * deviation**2)
    return (np.exp(power) / (2 * math.pi * deviation**2)).astype(np.float32)


def descriptors(
    image: Image, points: KeyPoints, *, scales: tuple[float, float] | None = None
) -> Float[Array, "points 64"]:
    """Descriptors of the points' surroundings, of length 1; zeros if flat.

    20 x 20 samples, one scale apart and turned by the angle, of Haar wavelets two
    scales wide, weighted by a Gaussian of 3.3 scales. Each cell of 5 x 5 samples has
    four sums: of both responses and of their magnitudes.

    Args:
        image: in [0, 1].
        points: the key points, present or not.
        scales: least and greatest scale of points, which decide the wavelets' sizes;
            None for the `scale_range` of two octaves of four scales.
    """
    points = jax.tree.map(lax.stop_gradient, points)
    scales = scales or scale_range(image.shape)
    first, last = (int(2 * scale + 0.5) for scale in scales)
    haar = _haar(image, tuple(range(first, last + 1)))
    sine, cosine = jnp.sin(points.angle)[:, None], jnp.cos(points.angle)[:, None]
    rows, columns = (
        jnp.asarray(line, jnp.float32)[None] * points.scale[:, None]
        for line in (_ROWS, _COLUMNS)
    )
    # Along the angle, measured from the rows' axis, and across it.
    row = points.place[:, :1] + cosine * rows - sine * columns
    column = points.place[:, 1:] + sine * rows + cosine * columns
    size = jnp.floor(2 * points.scale + 0.5).astype(jnp.int32)[:, None]
    pixel = (jnp.trunc(line).astype(jnp.int32) for line in (row, column))
    weights = jnp.asarray(_gaussian(_ROWS, _COLUMNS, 3.3))[None]
    by_column, by_row = (weights * found for found in haar.at(*pixel, size))
    along = cosine * by_row + sine * by_column
    across = cosine * by_column - sine * by_row
    # JAX defines the derivative of the magnitude at zero as 0.
    parts = along, across, jnp.abs(along), jnp.abs(across)
    sums = [part.reshape(-1, 16, 25).sum(axis=2) for part in parts]
    cells = jnp.stack(sums, axis=-1).reshape(-1, DESCRIPTOR)
    # mahotas adds 1e-7 on values up to 255.
    square = jnp.sum(jnp.square(cells), axis=1, keepdims=True)
    return cells * lax.rsqrt(square + 1e-7 / 255**2)


_SQUARE = np.asarray([*np.ndindex(13, 13)]) - 6
_STEPS = 42
"""Positions of a window of a sixth of a turn, as far apart as OpenSURF's (Evans 2009):
0.15 radians.
mahotas starts a window at each sample, which takes twice as long."""
_CIRCLE_ROWS, _CIRCLE_COLUMNS = _SQUARE[(_SQUARE**2).sum(axis=1) < 36].T


def dominant_angles(
    image: Image, points: KeyPoints, *, scales: tuple[float, float] | None = None
) -> Float[Array, "points"]:
    """The direction of the longest sum of gradients within a sixth of a turn.

    The gradients are responses of Haar wavelets four scales wide at the 109 samples
    within 6 scales, weighted by a Gaussian of 2.5 scales. Arguments as for
    `descriptors`.
    """
    image = lax.stop_gradient(image)
    scales = scales or scale_range(image.shape)
    first, last = (int(4 * scale + 0.5) // 2 * 2 for scale in scales)
    haar = _haar(image, tuple(range(first, last + 1, 2)))
    row, column = (
        jnp.asarray(line, jnp.float32)[None] * points.scale[:, None] + place[:, None]
        for line, place in zip(
            (_CIRCLE_ROWS, _CIRCLE_COLUMNS), points.place.T, strict=True
        )
    )
    size = jnp.floor(4 * points.scale + 0.5).astype(jnp.int32)[:, None] // 2 * 2
    nearest = (jnp.trunc(line + 0.5).astype(jnp.int32) for line in (row, column))
    weights = jnp.asarray(_gaussian(_CIRCLE_ROWS, _CIRCLE_COLUMNS, 2.5))[None]
    by_column, by_row = (weights * found for found in haar.at(*nearest, size))
    turns = (jnp.arctan2(by_column, by_row) + math.pi) / (2 * math.pi)
    step = jnp.floor(turns * _STEPS).astype(jnp.int32) % _STEPS
    among = step[:, None, :] == jnp.arange(_STEPS)[None, :, None]
    sums = [
        jnp.sum(jnp.where(among, found[:, None, :], 0.0), axis=2)
        for found in (by_column, by_row)
    ]
    # One window from each step on, around the circle.
    windows = [
        sum(jnp.roll(found, -ahead, axis=1) for ahead in range(_STEPS // 6))
        for found in sums
    ]
    longest = sum(map(jnp.square, windows)).argmax(axis=1)[:, None]
    chosen = [jnp.take_along_axis(found, longest, 1)[:, 0] for found in windows]
    return jnp.arctan2(*chosen)
