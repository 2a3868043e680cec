"""Differentiable reduction of an image to its largest singular triplets."""

import functools

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float, Int

Image = Float[Array, "height width"]

_LARGE = 512
"""Images whose sides are both longer are decomposed by a sketch; our choice."""
_SKETCH = 256
"""Singular triplets of a sketch; our choice."""
_POWERS = 2
"""Power iterations of a sketch: one or two usually suffice by its source."""


def kept_rank(
    values: Float[Array, "rank"],
    *,
    energy: float = 0.95,
    rank: int | None = None,
    rest: Float[Array, ""] | float = 0.0,
) -> Int[Array, ""]:
    """Number of singular values to keep, greatest first.

    Args:
        values: singular values.
        energy: least share of the sum of their squares to keep, in (0, 1].
        rank: largest number to keep, instead of a share.
        rest: sum of the squares of smaller singular values that are not known.

    Raises:
        ValueError: a share or a rank that keeps nothing.
    """
    if rank is not None:
        if rank < 1:
            raise ValueError(f"rank={rank}: keep at least one singular value")
        return jnp.int32(min(rank, len(values)))
    if not 0 < energy <= 1:
        raise ValueError(f"energy={energy:g}: give a share in (0, 1]")
    squares = jnp.square(values)
    # Summed from the smallest on, the energy left out is exact despite rounding.
    left = rest + jnp.cumsum(squares[::-1])[::-1]
    below = left <= (1 - energy) * left[0]
    return jnp.maximum(1, len(values) - below.sum()).astype(jnp.int32)


def reduce_rank(
    image: Image, *, energy: float = 0.95, rank: int | None = None
) -> Image:
    """The nearest image of the least rank with this energy (Eckart and Young 1936).

    Forward and backward pass are exact except for the choice of the rank, which is
    constant in steps. The derivative is that of the projection onto the manifold of a
    rank. It does not divide by the difference of two kept singular values; the
    derivative of the factors does, and is infinite where two are equal.

    Of an image with both sides above 512, the 256 greatest singular triplets are found
    by a random sketch, which is the same for every image. No more of them are kept, and
    the derivative leaves out the curvature towards the others.

    Sources: Feppon and Lermusiaux 2018, arXiv:1705.08521, theorem 25; Halko,
    Martinsson and Tropp 2011, arXiv:0909.4061, algorithms 4.4 and 5.1.

    Args:
        image: any finite values.
        energy: least share of the sum of squared singular values to keep.
        rank: largest number of singular values to keep, instead of a share.

    Raises:
        ValueError: a share or a rank that keeps nothing.
    """
    return _reduce_rank(image, energy, rank)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1, 2))
def _reduce_rank(image, energy, rank):
    # Without a gradient, one side's singular vectors suffice. Eigenvectors of the Gram
    # matrix take a third of the time; they are wrong only for values below 3e-4 of the
    # greatest, which hold 1e-7 of the energy.
    if image.shape[0] < image.shape[1]:
        return _reduce_rank(image.T, energy, rank).T
    if min(image.shape) > _LARGE:
        return _forward(image, energy, rank)[0]
    squares, vectors = jnp.linalg.eigh(_product(image.T, image))
    values = jnp.sqrt(jnp.maximum(squares[::-1], 0.0))
    kept = jnp.arange(len(values)) < kept_rank(values, energy=energy, rank=rank)
    columns = vectors[:, ::-1] * kept.astype(image.dtype)[None]
    return _product(_product(image, columns), columns.T)


def _forward(image, energy, rank):
    if min(image.shape) > _LARGE:
        u, values, vt = sketched_svd(image, _SKETCH)
    else:
        u, values, vt = jnp.linalg.svd(image, full_matrices=False)
    rest = 0.0
    if len(values) < min(image.shape):
        known = jnp.sum(jnp.square(values))
        rest = jnp.maximum(jnp.sum(jnp.square(image)) - known, 0.0)
    number = kept_rank(values, energy=energy, rank=rank, rest=rest)
    kept = jnp.arange(len(values)) < number
    found = _product(u * jnp.where(kept, values, 0.0)[None], vt)
    return found, (u, values, vt, kept)


def sketched_svd(
    image: Image, count: int
) -> tuple[
    Float[Array, "height {count}"],
    Float[Array, "{count}"],
    Float[Array, "{count} width"],
]:
    """The `count` greatest singular triplets, from a random range of that dimension.

    Products and QR decompositions of slender matrices only. The triplets near the end
    are the least exact. Source: see `reduce_rank`.
    """
    test = jax.random.normal(jax.random.key(0), (image.shape[1], count))
    basis, _ = jnp.linalg.qr(_product(image, test))
    for _ in range(_POWERS):
        other, _ = jnp.linalg.qr(_product(image.T, basis))
        basis, _ = jnp.linalg.qr(_product(image, other))
    u, values, vt = jnp.linalg.svd(_product(basis.T, image), full_matrices=False)
    return _product(basis, u), values, vt


def _backward(energy, rank, saved, cotangent):
    del energy, rank
    return (_derivative(*saved, cotangent),)


_reduce_rank.defvjp(_forward, _backward)


def _derivative(
    u: Float[Array, "height rank"],
    values: Float[Array, "rank"],
    vt: Float[Array, "rank width"],
    kept: Bool[Array, "rank"],
    direction: Image,
) -> Image:
    """The derivative of `reduce_rank` in a direction; it is its own transpose."""
    mask = kept.astype(values.dtype)
    rows, columns = u * mask[None], vt * mask[:, None]
    # Projection onto the tangent space: parts in a kept row or column space.
    left = _product(rows, _product(rows.T, direction))
    right = _product(_product(direction - left, columns.T), columns)
    # The manifold's curvature adds terms between kept and dropped triplets.
    both = _product(_product(u.T, direction), vt.T)
    squares = jnp.square(values)
    gap = squares[:, None] - squares[None, :]
    crossing = kept[:, None] & ~kept[None, :] & (gap > 0)
    safe = jnp.where(crossing, gap, 1.0)
    product = values[:, None] * values[None, :]
    # Entry (i, j): kept row i, dropped column j.
    upper = jnp.where(
        crossing, (squares[None, :] * both + product * both.T) / safe, 0.0
    )
    lower = jnp.where(
        crossing, (squares[None, :] * both.T + product * both) / safe, 0.0
    )
    return left + right + _product(_product(u, upper + lower.T), vt)


def _product(a, b):
    return jnp.matmul(a, b, precision=lax.Precision.HIGHEST)
