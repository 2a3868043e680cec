"""Convolutions on CPUs, faster than XLA's own.

F(m, 3) computes m neighbouring outputs of a filter of three taps with m + 2
multiplications instead of 3 m, from sums of the inputs and precomputed sums of the
taps. Along one axis F(4, 3) halves the multiplications; along both it quarters them but
moves more data. The result differs from the direct sum by rounding, about ten times as
much as two orders of the direct sum differ.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
arXiv:1509.09308, section 4. Its matrices for F(4x4, 3x3) are those of `toom_cook`.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from advjax.runtime import targets

TAPS = 3
MOST_PLANES = 128
"""Largest kernel of maps with one channel whose taps become planes."""
_LAYOUT = ("NHWC", "HWIO", "NHWC")
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)

Maps = Float[Array, "batch height width channels"]
Kernel = Float[Array | np.ndarray, "3 3 channels features"]
Out = Float[Array, "batch height width features"]
Padding = tuple[tuple[int, int], tuple[int, int]]


class Matrices(NamedTuple):
    """The sums of inputs, of taps and of products of F(m, 3), a row for each sum."""

    of_input: Float[np.ndarray, "products products"]
    of_kernel: Float[np.ndarray, "products 3"]
    of_output: Float[np.ndarray, "outputs products"]


class Limits(NamedTuple):
    """Sizes from which a way is faster on a kind of processor.

    Attributes:
        along_height: fewest channels and features for F along the height.
        along_both: fewest channels and features for F along both axes.
        most_bytes: of the transformed kernel of F along both axes: a larger one fits
            no cache, and serves a few positions.
        strided: whether F is worth its sums where the stride is two.
    """

    along_height: int
    along_both: int
    most_bytes: float
    strided: bool


LIMITS = {
    "avx2": Limits(16, 256, math.inf, strided=False),
    "avx512": Limits(64, 64, 2**25, strided=True),
}
"""By kind of processor. Measured on ResCNNs: of widths 8, 16 and 64 on an AMD EPYC with
AVX2, of widths 16, 32 and 64 on an Intel Xeon with AVX-512."""


def conv2d(
    x: Maps,
    kernel: Float[Array | np.ndarray, "kh kw channels features"],
    strides: tuple[int, int],
    padding: Padding,
) -> Float[Array, "batch out_height out_width features"]:
    """The convolution, by the fastest algorithm for its sizes.

    Args:
        x: maps.
        kernel: weights, one for each input entry and channel of an output's window.
        strides: input entries from one output to the next, along each axis.
        padding: zeros before and after each axis of a map.
    """
    width, (*sizes, channels, features) = x.shape[2], kernel.shape
    if channels == 1 and math.prod(sizes) <= MOST_PLANES:
        return conv_of_patches(x, kernel, strides, padding)
    limits, fewest = LIMITS[targets.processor()], min(channels, features)
    # With fewer channels the sums cost more than the multiplications that they save.
    is_enough = fewest >= limits.along_height
    halving = (strides, padding) == ((2, 2), ((1, 2), (1, 2))) and sizes == [5, 5]
    if halving and limits.strided and is_enough and x.shape[1] % 2 == 0:
        return conv_of_row_pairs(x, kernel)
    plain = strides == (1, 1) and padding == ((1, 1), (1, 1))
    if not plain or sizes != [TAPS, TAPS]:
        return _direct(x, kernel, strides, padding)
    if features < 32 <= width:
        return conv_in_pairs(x, kernel)
    transformed = 4 * math.prod(toom_cook(4).of_input.shape) * channels * features
    if fewest >= limits.along_both and transformed <= limits.most_bytes:
        return conv_along_both(x, kernel)
    return conv_along_height(x, kernel) if is_enough else _same(x, kernel)


@functools.cache
def toom_cook(outputs: int) -> Matrices:
    """The matrices of F(outputs, 3), by interpolation at points and at infinity.

    A product is the value at a point of a polynomial with the taps as coefficients,
    times that of one with outputs as coefficients. The transposed algorithm has the
    polynomials that vanish at all other points in the rows for inputs.
    """
    points = np.array(_POINTS[: outputs + TAPS - 2])
    others = [np.delete(points, index) for index in range(len(points))]
    of_input = np.zeros((len(points) + 1, len(points) + 1))
    for row, roots in zip(of_input, [*others, points], strict=True):
        row[: len(roots) + 1] = np.poly(roots)[::-1]

    def powers(count):
        finite = points[:, None] ** np.arange(count)
        return np.vstack([finite, np.arange(count) == count - 1])

    gaps = [np.prod(at - rest) for at, rest in zip(points, others, strict=True)]
    of_kernel = powers(TAPS) / np.array([*gaps, 1.0])[:, None]
    found = (of_input, of_kernel, powers(outputs).T)
    return Matrices(*(matrix.astype(np.float32) for matrix in found))


def conv_of_patches(
    x: Float[Array, "batch height width 1"],
    kernel: Float[Array | np.ndarray, "kh kw 1 features"],
    strides: tuple[int, int],
    padding: Padding,
) -> Float[Array, "batch out_height out_width features"]:
    """The convolution of maps with one channel, as one matrix product.

    The inputs of one tap form a plane, and the planes are stored one after the other.
    XLA's own patches store the taps next to each other, which is slower.
    """
    window, (rows, columns) = kernel.shape[:2], strides
    x = jnp.pad(x[..., 0], ((0, 0), *padding))
    down, across = (
        (size - taps) // stride * stride + 1
        for size, taps, stride in zip(x.shape[1:], window, strides, strict=True)
    )
    planes = [
        x[:, row : row + down : rows, column : column + across : columns]
        for row in range(window[0])
        for column in range(window[1])
    ]
    # Without the barrier XLA stores the planes transposed, for the product.
    planes = lax.optimization_barrier(jnp.stack(planes))
    taps = jnp.reshape(kernel, (len(planes), -1))
    return jnp.einsum("tbhw,tf->bhwf", planes, taps)


def conv_in_pairs(x: Maps, kernel: Kernel) -> Out:
    """The same convolution, of two neighbours along the width at once.

    A kernel one wider and with a stride of two gives both neighbours as channels. A
    third of its taps are zero, and it is still faster, because few features leave
    registers idle.
    """
    rows, columns, channels, features = kernel.shape
    batch, height, width, _ = x.shape
    pair = jnp.zeros((rows, columns + 1, channels, 2, features), kernel.dtype)
    pair = pair.at[:, :-1, :, 0].set(kernel).at[:, 1:, :, 1].set(kernel)
    pair = pair.reshape(rows, columns + 1, channels, -1)
    padding = [(1, 1), (1, 1 + width % 2)]
    found = _direct(x, pair, (1, 2), padding)
    return found.reshape(batch, height, -1, features)[:, :, :width]


def conv_along_height(x: Maps, kernel: Kernel) -> Out:
    """The convolution of stride 1 with "same" padding, by F(m, 3) along the height.

    It takes m + 2 convolutions with kernels of one row.
    """
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return _along_height(x, kernel, _same)


def conv_of_row_pairs(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array | np.ndarray, "5 5 channels features"],
) -> Float[Array, "batch out_height out_width features"]:
    """The convolution of stride 2 with "same" padding on even heights, by F(m, 3).

    Even and odd rows become channels of one row. A kernel of five rows is one of three
    such rows, whose first tap is zero.
    """
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // 2, 2, width, channels).swapaxes(2, 3)
    x = x.reshape(batch, height // 2, width, 2 * channels)
    kernel = jnp.pad(kernel, ((1, 0), (0, 0), (0, 0), (0, 0)))
    kernel = kernel.reshape(TAPS, 2, 5, channels, -1).swapaxes(1, 2)
    kernel = kernel.reshape(TAPS, 5, 2 * channels, -1)
    x = jnp.pad(x, ((0, 0), (1, 1), (0, 0), (0, 0)))
    return _along_height(
        x, kernel, lambda x, row: _direct(x, row, (1, 2), ((0, 0), (1, 2)))
    )


def _along_height(
    x: Float[Array, "batch rows width channels"],
    kernel: Float[Array | np.ndarray, "3 kw channels features"],
    conv: Callable[[Array, Array], Array],
) -> Float[Array, "batch out_height out_width features"]:
    """The convolution of padded rows, from convolutions with one row each."""
    height = x.shape[1] - TAPS + 1
    # Rows that fill no group are wasted.
    outputs = 5 if height % 5 == 0 and height % 4 else 4
    of_input, of_kernel, of_output = toom_cook(outputs)
    groups = -(-height // outputs)
    x = jnp.pad(x, ((0, 0), (0, groups * outputs - height), (0, 0), (0, 0)))
    rows = _by_group(x, groups, outputs, axis=1)
    products = [
        conv(_sum(inputs, rows), _sum(taps, list(kernel))[None])
        for inputs, taps in zip(of_input, of_kernel, strict=True)
    ]
    out = jnp.stack([_sum(weights, products) for weights in of_output], axis=2)
    batch, _, _, width, features = out.shape
    return out.reshape(batch, groups * outputs, width, features)[:, :height]


def conv_along_both(x: Maps, kernel: Kernel) -> Out:
    """The same convolution, by F(4x4, 3x3).

    The sums are products with Kronecker squares of the matrices, and the rest of the
    convolution is 36 matrix products, computed as one. In the body of a compiled loop
    CPUs split products over their cores, but not additions.
    """
    batch, height, width, channels = x.shape
    matrices, outputs = toom_cook(4), 4
    down, across = (-(-size // outputs) for size in (height, width))
    margins = [(1, -(-size // outputs) * outputs + 1 - size) for size in x.shape[1:3]]
    x = jnp.pad(x, ((0, 0), *margins, (0, 0)))
    patches = jnp.stack(
        [
            column
            for row in _by_group(x, down, outputs, axis=1)
            for column in _by_group(row, across, outputs, axis=2)
        ]
    )
    of_input, of_kernel, of_output = (np.kron(each, each) for each in matrices)
    taps = jnp.reshape(kernel, (TAPS * TAPS, channels, -1))
    kernels = jnp.einsum("pt,tcf->pcf", of_kernel, taps, precision="highest")
    # Batch and positions stay apart: under vmap XLA would transpose them otherwise.
    inputs = jnp.einsum("pq,qbhwc->pbhwc", of_input, patches, precision="highest")
    products = jnp.einsum("pbhwc,pcf->pbhwf", inputs, kernels)
    out = jnp.einsum("op,pbhwf->obhwf", of_output, products, precision="highest")
    out = out.reshape(outputs, outputs, batch, down, across, -1)
    out = out.transpose(2, 3, 0, 4, 1, 5)
    out = out.reshape(batch, down * outputs, across * outputs, -1)
    return out[:, :height, :width]


def _direct(x, kernel, strides, padding):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=_LAYOUT
    )


def _same(x, kernel):
    return _direct(x, kernel, (1, 1), "SAME")


def _by_group(x: Array, groups: int, outputs: int, axis: int) -> list[Array]:
    """Entry i of the inputs of every group, for each i; neighbours share two."""
    span = outputs * (groups - 1) + 1
    return [
        lax.slice_in_dim(x, first, first + span, outputs, axis)
        for first in range(outputs + TAPS - 1)
    ]


def _sum(weights: Float[np.ndarray, "terms"], terms: Sequence[Array]) -> Array:
    """The weighted sum, without the terms of weight zero."""
    return sum(
        float(weight) * term
        for weight, term in zip(weights, terms, strict=True)
        if weight
    )
