"""Convolutions for inference on CPUs, faster than XLA's own.

The choice of an algorithm by size was measured on ResCNNs of widths 8, 16 and 64, on
AVX2.

F(4, 3) computes four neighbouring outputs of a filter of three taps with six
multiplications instead of twelve, from sums of the inputs and precomputed sums of the
taps. Along one axis that halves the multiplications; along both it quarters them but
moves more data. The result differs from the direct sum by rounding, about ten times as
much as two orders of the direct sum differ.

Source: Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks",
arXiv:1509.09308, section 4.1 and its matrices for F(4x4, 3x3) in section 4.3.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

OUTPUTS, TAPS, INPUTS = 4, 3, 6
MOST_PLANES = 128
"""Largest kernel of maps with one channel whose taps become planes."""
_OF_INPUT = np.float32(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_OF_KERNEL = np.float32(
    [
        [1 / 4, 0, 0],
        [-1 / 6, -1 / 6, -1 / 6],
        [-1 / 6, 1 / 6, -1 / 6],
        [1 / 24, 1 / 12, 1 / 6],
        [1 / 24, -1 / 12, 1 / 6],
        [0, 0, 1],
    ]
)
_OF_OUTPUT = np.float32(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
_LAYOUT = ("NHWC", "HWIO", "NHWC")

Maps = Float[Array, "batch height width channels"]
Kernel = Float[Array | np.ndarray, "3 3 channels features"]
Out = Float[Array, "batch height width features"]
Padding = tuple[tuple[int, int], tuple[int, int]]


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
    plain = strides == (1, 1) and padding == ((1, 1), (1, 1))
    if not plain or sizes != [TAPS, TAPS]:
        return _direct(x, kernel, strides, padding)
    if features < 32 <= width:
        return conv_in_pairs(x, kernel)
    fewest = min(channels, features)
    if fewest >= 256:
        return conv_along_both(x, kernel)
    # With fewer channels the sums cost more than the multiplications that they save.
    return conv_along_height(x, kernel) if fewest >= 16 else _same(x, kernel)


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
    """The convolution of stride 1 with "same" padding, by F(4, 3) along the height.

    It takes six convolutions with kernels of one row.
    """
    height = x.shape[1]
    groups = -(-height // OUTPUTS)
    x = jnp.pad(x, ((0, 0), _margins(height), (0, 0), (0, 0)))
    rows = _every_fourth(x, groups, axis=1)
    products = [
        _same(_sum(of_input, rows), _sum(of_kernel, list(kernel))[None])
        for of_input, of_kernel in zip(_OF_INPUT, _OF_KERNEL, strict=True)
    ]
    out = jnp.stack([_sum(weights, products) for weights in _OF_OUTPUT], axis=2)
    batch, _, _, width, features = out.shape
    return out.reshape(batch, groups * OUTPUTS, width, features)[:, :height]


def conv_along_both(x: Maps, kernel: Kernel) -> Out:
    """The same convolution, by F(4x4, 3x3).

    The sums are products with Kronecker squares of the matrices, and the rest of the
    convolution is 36 matrix products, computed as one. In the body of a compiled loop
    CPUs split products over their cores, but not additions.
    """
    batch, height, width, channels = x.shape
    down, across = (-(-size // OUTPUTS) for size in (height, width))
    x = jnp.pad(x, ((0, 0), _margins(height), _margins(width), (0, 0)))
    patches = jnp.stack(
        [
            column
            for row in _every_fourth(x, down, axis=1)
            for column in _every_fourth(row, across, axis=2)
        ]
    )
    both = INPUTS * INPUTS
    of_input, of_kernel, of_output = (
        np.kron(matrix, matrix) for matrix in (_OF_INPUT, _OF_KERNEL, _OF_OUTPUT)
    )
    inputs = jnp.matmul(of_input, patches.reshape(both, -1), precision="highest")
    taps = jnp.reshape(kernel, (TAPS * TAPS, -1))
    kernels = jnp.matmul(of_kernel, taps, precision="highest")
    products = jnp.matmul(
        inputs.reshape(both, -1, channels), kernels.reshape(both, channels, -1)
    )
    out = jnp.matmul(of_output, products.reshape(both, -1), precision="highest")
    out = out.reshape(OUTPUTS, OUTPUTS, batch, down, across, -1)
    out = out.transpose(2, 3, 0, 4, 1, 5)
    out = out.reshape(batch, down * OUTPUTS, across * OUTPUTS, -1)
    return out[:, :height, :width]


def _direct(x, kernel, strides, padding):
    return lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=_LAYOUT
    )


def _same(x, kernel):
    return _direct(x, kernel, (1, 1), "SAME")


def _margins(size: int) -> tuple[int, int]:
    """Zeros before and after an axis that make it divide into groups of four."""
    return 1, -(-size // OUTPUTS) * OUTPUTS + 1 - size


def _every_fourth(x: Array, groups: int, axis: int) -> list[Array]:
    """Entry i of the six inputs of every group, for each i; neighbours share two."""
    span = OUTPUTS * (groups - 1) + 1
    return [
        lax.slice_in_dim(x, first, first + span, OUTPUTS, axis)
        for first in range(INPUTS)
    ]


def _sum(weights: Float[np.ndarray, "terms"], terms: Sequence[Array]) -> Array:
    """The weighted sum, without the terms of weight zero."""
    return sum(
        float(weight) * term
        for weight, term in zip(weights, terms, strict=True)
        if weight
    )
