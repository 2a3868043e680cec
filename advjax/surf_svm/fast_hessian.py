"""Key points of an image: maxima of its Hessian's determinant, by box filters.

The number of returned points is fixed; a mask says which are present.

Source: Bay, Ess, Tuytelaars, Van Gool 2008, "Speeded-up robust features", CVIU 110(3),
section 3. Box filters, their sizes and their borders are those of mahotas 1.4, the
reference of the tests. Differs: places are refined as Brown and Lowe 2002 do, where
mahotas pairs rows of the Hessian with columns of the gradient and leaves out the sign.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float

REACH = 15.5
"""Half the side of a descriptor's square in scales; mahotas' margin."""

Image = Float[Array, "height width"]


class KeyPoints(NamedTuple):
    """Key points of an image.

    Attributes:
        place: row and column.
        scale: standard deviation in pixels of the Gaussian whose derivatives the boxes
            approximate.
        angle: by which a descriptor is turned, from the rows' axis towards the
            columns'; 0 for upright ones.
        score: determinant of the Hessian.
        present: which points are present; the others are to be ignored.
    """

    place: Float[Array, "points 2"]
    scale: Float[Array, "points"]
    angle: Float[Array, "points"]
    score: Float[Array, "points"]
    present: Bool[Array, "points"]


def maxima(
    image: Image,
    *,
    max_points: int = 128,
    threshold: float = 1.5e-6,
    num_octaves: int = 2,
    num_scales: int = 4,
) -> KeyPoints:
    """The strongest maxima of the Hessian's determinant over place and scale.

    Args:
        image: in [0, 1].
        max_points: number of returned points, present or not. It includes maxima whose
            refined place is more than half a step away.
        threshold: of the determinant; 1.5e-6 is mahotas' 0.1 on values up to 255.
        num_octaves: each doubles sizes and steps; octaves too large for the image are
            left out.
        num_scales: of an octave; the first and the last only serve as neighbours.

    Raises:
        ValueError: the image is too small for a single octave.
    """
    image = lax.stop_gradient(image)
    found = [
        _maxima_of_octave(values, octave, max_points)
        for octave in range(num_octaves)
        if (values := _determinants(image, octave, num_scales)) is not None
    ]
    if not found:
        least = 2 * _border(0, num_scales) + 5
        raise ValueError(
            f"an image of {image.shape[0]}x{image.shape[1]} has no key points: give "
            f"one of at least {least}x{least}, or fewer scales"
        )
    places, scales, scores = (
        jnp.concatenate(part) for part in zip(*found, strict=True)
    )
    kept, order = lax.top_k(scores, min(max_points, len(scores)))
    places, scales = places[order], scales[order]
    margin = jnp.floor(2 * REACH * scales) // 2
    sizes = jnp.asarray(image.shape, places.dtype)
    inside = (places >= margin[:, None]) & (places + margin[:, None] < sizes[None])
    return KeyPoints(
        place=places,
        scale=scales,
        angle=jnp.zeros_like(scales),
        score=kept,
        present=(kept > threshold) & inside.all(axis=1),
    )


def scale_range(
    shape: tuple[int, ...], *, num_octaves: int = 2, num_scales: int = 4
) -> tuple[float, float]:
    """The least and the greatest scale of key points in images of this shape."""
    last = max(
        (octave for octave in range(num_octaves) if _fits(shape, octave, num_scales)),
        default=0,
    )
    lobes = 2 * 1.5 + 1, 2 ** (last + 1) * (num_scales - 0.5) + 1
    return 0.4 * lobes[0], 0.4 * lobes[1]


def _border(octave: int, num_scales: int) -> int:
    """Steps from an image's edge to the first centre of an octave's largest filter."""
    return math.ceil(3 * (2 ** (octave + 1) * (num_scales + 1) + 1) / 2)


def _fits(shape, octave: int, num_scales: int) -> bool:
    return min(shape) // 2**octave - 2 * _border(octave, num_scales) >= 5


def _determinants(image: Image, octave: int, num_scales: int):
    """Determinants of the box-filtered Hessian; None if the image is too small.

    The shape is [scales, rows, columns]. The first row and column lie a border from the
    edge.
    """
    step, border = 2**octave, _border(octave, num_scales)
    if not _fits(image.shape, octave, num_scales):
        return None
    counts = [size // step - 2 * border for size in image.shape]
    # Without the mean, sums stay small and their differences are exact to 1e-4.
    sums = jnp.cumsum(jnp.cumsum(image - image.mean(), axis=0), axis=1)
    sums = jnp.pad(sums, ((1, 0), (1, 0)))

    def corner(row: int, column: int):
        first = border * step + row, border * step + column
        last = [f + (c - 1) * step + 1 for f, c in zip(first, counts, strict=True)]
        return lax.slice(sums, first, last, (step, step))

    def box(dy: int, dx: int, height: int, width: int):
        top, left = dy - height // 2, dx - width // 2
        bottom, right = top + height, left + width
        return (corner(bottom, right) - corner(top, right)) - (
            corner(bottom, left) - corner(top, left)
        )

    values = []
    for index in range(num_scales):
        lobe = 2 ** (octave + 1) * (index + 1) + 1
        by, away = 2 * lobe - 1, lobe // 2 + 1
        dxx = box(0, 0, by, 3 * lobe) - 3 * box(0, 0, by, lobe)
        dyy = box(0, 0, 3 * lobe, by) - 3 * box(0, 0, lobe, by)
        dxy = (
            box(-away, away, lobe, lobe) + box(away, -away, lobe, lobe)
            - box(away, away, lobe, lobe) - box(-away, -away, lobe, lobe)
        )  # fmt: skip
        area = (3 * lobe) ** 2
        # 0.6 balances boxes against Gaussians: Tuytelaars and Mikolajczyk 2007.
        values.append((dxx * dyy - jnp.square(0.6 * dxy)) / area**2)
    return jnp.maximum(jnp.stack(values), 0.0)


def _maxima_of_octave(values, octave: int, count: int):
    """Places, scales and scores of at most `count` maxima, the strongest first.

    As in mahotas, the largest entry of each block of 3 x 3 x 3 is taken if no neighbour
    exceeds it, which keeps points apart.
    """
    greatest = values
    for axis in range(3):
        ends = [(0, 0)] * 3
        ends[axis] = (1, 1)
        padded = jnp.pad(greatest, ends)
        size = values.shape[axis]
        shifted = (lax.slice_in_dim(padded, s, s + size, 1, axis) for s in range(3))
        greatest = jnp.maximum(jnp.maximum(*(next(shifted), next(shifted))), *shifted)
    inner = values[1:-1, 1:-1, 1:-1]
    blocks = _blocks(inner)
    best = blocks.argmax(axis=1)[:, None]
    peaks = jnp.take_along_axis(blocks, best, 1)[:, 0]
    highest = jnp.take_along_axis(_blocks(greatest[1:-1, 1:-1, 1:-1]), best, 1)[:, 0]
    scores = jnp.where((peaks >= highest) & (peaks > 0), peaks, 0.0)
    scores, chosen = lax.top_k(scores, min(count, len(scores)))
    shape = [-(-size // 3) for size in inner.shape]
    block = jnp.stack(jnp.unravel_index(chosen, shape), axis=1)
    within = jnp.stack(jnp.unravel_index(best[chosen, 0], (3, 3, 3)), axis=1)
    index = 1 + 3 * block + within
    # A block that extends beyond the end has its maximum, if any, inside.
    index = jnp.minimum(index, jnp.asarray(values.shape)[None] - 2)
    offset, settled = _refine(values, index)
    refined = index.astype(jnp.float32) + offset
    border, step = _border(octave, values.shape[0]), 2**octave
    lobes = 2 ** (octave + 1) * (refined[:, 0] + 1) + 1
    return (
        (refined[:, 1:] + border) * step,
        0.4 * lobes,
        jnp.where(settled, scores, 0.0),
    )


def _blocks(values):
    """All blocks of 3 x 3 x 3, flattened; the last ones are padded with -1."""
    ends = [(0, -size % 3) for size in values.shape]
    filled = jnp.pad(values, ends, constant_values=-1.0)
    parts = [extent for size in filled.shape for extent in (size // 3, 3)]
    return filled.reshape(parts).transpose(0, 2, 4, 1, 3, 5).reshape(-1, 27)


def _refine(values, index):
    """Offsets to a fitted parabola's peak, and whether each is within half a step."""
    around = jnp.asarray([*np.ndindex(3, 3, 3)]) - 1
    at = index[:, None] + around[None]
    near = values[at[..., 0], at[..., 1], at[..., 2]].reshape(-1, 3, 3, 3)
    # Scaled, because products of three determinants leave the range of float32.
    near = near / jnp.maximum(near.max(axis=(1, 2, 3), keepdims=True), 1e-30)
    one, both, middle = near[:, 1, 1, 1], [], (1, 1, 1)
    gradient = []
    for axis in range(3):
        up, down = _shift(middle, {axis: 1}), _shift(middle, {axis: -1})
        gradient.append((near[:, *up] - near[:, *down]) / 2)
        both.append(near[:, *up] + near[:, *down] - 2 * one)
    mixed = {}
    for a, b in ((0, 1), (0, 2), (1, 2)):
        corners = [
            s * t * near[:, *_shift(middle, {a: s, b: t})]
            for s in (-1, 1)
            for t in (-1, 1)
        ]
        mixed[a, b] = sum(corners) / 4
    rows = [
        jnp.stack([both[0], mixed[0, 1], mixed[0, 2]], 1),
        jnp.stack([mixed[0, 1], both[1], mixed[1, 2]], 1),
        jnp.stack([mixed[0, 2], mixed[1, 2], both[2]], 1),
    ]
    # The adjugate of a symmetric matrix; over the determinant it is the inverse.
    adjugate = jnp.stack(
        [jnp.cross(rows[i], rows[(i + 1) % 3]) for i in (1, 2, 0)], axis=1
    )
    determinant = jnp.sum(rows[0] * adjugate[:, 0], axis=1)
    offset = -jnp.einsum(
        "pij,pj->pi", adjugate, jnp.stack(gradient, 1), precision="highest"
    )
    offset = offset / jnp.where(determinant == 0, 1.0, determinant)[:, None]
    settled = (determinant != 0) & (jnp.abs(offset) < 0.5).all(axis=1)
    return jnp.where(settled[:, None], offset, 0.0), settled


def _shift(index, by):
    return tuple(place + by.get(axis, 0) for axis, place in enumerate(index))
