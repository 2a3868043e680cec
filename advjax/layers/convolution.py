"""Two-dimensional convolution. The layout is [batch, height, width, channels].

XLA's own input gradient of a convolution is 5 to 6 times slower on CPUs inside a
compiled loop, and its convolutions of small maps are several times slower in training.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float

from advjax.layers import fast_convolution
from advjax.runtime import targets
from advjax.runtime.precision import custom_vjp

_LAYOUT = ("NHWC", "HWIO", "NHWC")

FEW_POSITIONS = 32
"""Maps with at most so many outputs are convolved as one matrix product on a CPU."""

Pair = int | tuple[int, int]
"""A number for both axes of a map, or one for each."""


# Traced once for all layers of equal sizes. Every process traces its networks, even
# with a compilation cache.
@functools.partial(jax.jit, static_argnums=(2, 3, 4), inline=True)
def conv2d(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array | np.ndarray, "kh kw channels features"],
    stride: Pair,
    padding: Pair | None = None,
    dilation: Pair = 1,
) -> Float[Array, "batch out_height out_width features"]:
    """Two-dimensional convolution.

    Only reverse-mode differentiation is defined. On a CPU `fast_convolution` computes
    the convolution and its input's gradient, which differ from direct sums in the last
    bits.

    Args:
        x: maps.
        kernel: weights, one for each input entry and channel of an output's window.
        stride: input entries from one output to the next.
        padding: zeros on every side of a map; None for "same" padding.
        dilation: input entries from one entry of the kernel to the next.

    Raises:
        ValueError: the kernel is larger than the padded maps.
    """
    strides, dilations = _pair(stride), _pair(dilation)
    windows = _windows(kernel, dilations)
    if padding is None:
        pads = lax.padtype_to_pads(x.shape[1:3], windows, strides, "SAME")
        ends = (tuple(pads[0]), tuple(pads[1]))
    else:
        ends = tuple((each, each) for each in _pair(padding))
    sizes = tuple(
        (size + sum(end) - window) // step + 1
        for size, window, step, end in zip(
            x.shape[1:3], windows, strides, ends, strict=True
        )
    )
    if min(sizes) < 1:
        raise ValueError(
            f"a convolution of {windows[0]}x{windows[1]} with padding {padding} does "
            f"not fit into maps of {x.shape[1]}x{x.shape[2]}: give the network larger "
            "inputs, or let it resize them"
        )
    few = kernel.shape[:2] == (1, 1) or np.prod(sizes) <= FEW_POSITIONS
    if targets.on_cpu() and few and dilations == (1, 1):
        return _as_product(x, kernel, strides, ends, sizes)
    return _conv2d(x, kernel, strides, ends, dilations)


def direct(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array | np.ndarray, "kh kw channels features"],
    stride: Pair,
    padding: str | tuple[tuple[int, int], tuple[int, int]] = "SAME",
    dilation: Pair = 1,
) -> Float[Array, "batch out_height out_width features"]:
    """The convolution as XLA computes it."""
    return lax.conv_general_dilated(
        x,
        kernel,
        _pair(stride),
        padding,
        rhs_dilation=_pair(dilation),
        dimension_numbers=_LAYOUT,
    )


def _pair(each: Pair) -> tuple[int, int]:
    return (each, each) if isinstance(each, int) else each


def _windows(kernel, dilations) -> tuple[int, int]:
    """Input entries from the first to the last entry of the kernel, along each axis."""
    return tuple(
        (size - 1) * step + 1
        for size, step in zip(kernel.shape[:2], dilations, strict=True)
    )


def _as_product(x, kernel, strides, ends, sizes):
    """The convolution as one product of the input's patches with the kernel.

    On CPUs XLA swaps a map with a kernel that is larger than the map, and has no fast
    path for the result.
    """
    met, spans = [], []
    for size, count, window, stride, (low, _) in zip(
        x.shape[1:3], sizes, kernel.shape[:2], strides, ends, strict=True
    ):
        span = stride * (count - 1) + 1
        # Entries of the kernel that meet only padding are left out.
        met.append(range(max(0, low - span + 1), min(window, low + size)))
        spans.append(span)
    x = jnp.pad(x, ((0, 0), *ends, (0, 0)))
    patches = [
        x[:, row : row + spans[0] : strides[0], column : column + spans[1] : strides[1]]
        for row in met[0]
        for column in met[1]
    ]
    patches = jnp.concatenate(patches, axis=-1)
    rows, columns = (slice(taken.start, taken.stop) for taken in met)
    taps = jnp.reshape(kernel[rows, columns], (-1, kernel.shape[-1]))
    return jnp.matmul(patches, taps)


def _fastest(x, kernel, strides, ends, dilations):
    if targets.on_cpu() and x.dtype == jnp.float32 and dilations == (1, 1):
        return fast_convolution.conv2d(x, kernel, strides, ends)
    return direct(x, kernel, strides, ends, dilations)


def _forward(x, kernel, strides, ends, dilations):
    return _fastest(x, kernel, strides, ends, dilations), (x, kernel)


def _backward(strides, ends, dilations, saved, cotangent):
    x, kernel = saved
    if targets.takes_stock("input_gradient"):
        _, transpose = jax.vjp(
            lambda x, kernel: direct(x, kernel, strides, ends, dilations), x, kernel
        )
        return transpose(cotangent)
    if dilations == (1, 1):
        x_bar = _by_input(cotangent, x, kernel, strides, ends)
    else:
        x_bar = _by_dilated_input(cotangent, x, kernel, strides, ends, dilations)
    _, transpose = jax.vjp(
        lambda kernel: direct(x, kernel, strides, ends, dilations), kernel
    )
    return x_bar, *transpose(cotangent)


def _by_input(cotangent, x, kernel, strides, ends):
    """The cotangent of the input, by one convolution without inserted zeros.

    Along an axis, input entry stride * m + phase met output m + offset through kernel
    entry phase + low - stride * offset. So each phase is a small convolution of the
    cotangent. All phases are computed at once, as channels, and then interleaved. The
    usual way puts stride - 1 zeros between the cotangent's entries and multiplies by
    each.
    """
    sizes, windows, reach = x.shape[1:3], kernel.shape[:2], []
    for axis, (window, stride, (low, _)) in enumerate(
        zip(windows, strides, ends, strict=True)
    ):
        first, last = -((window - 1 - low) // stride), (stride - 1 + low) // stride
        # The range of m covers the input, which may need more than the outputs.
        more = -(-sizes[axis] // stride) - cotangent.shape[1 + axis]
        reach.append((-first, last + more))
        offsets = np.arange(first, last + 1)[:, None]
        taken = np.arange(stride)[None, :] + low - stride * offsets
        # Entries outside of the kernel are read from a row of zeros after it.
        taken = np.where((taken >= 0) & (taken < window), taken, window)
        # Each kernel axis becomes two: offset and, behind it, phase.
        one_more = [(0, 0)] * kernel.ndim
        one_more[2 * axis] = (0, 1)
        kernel = jnp.take(jnp.pad(kernel, one_more), taken, axis=2 * axis)
    phases = jnp.transpose(kernel, (0, 2, 5, 1, 3, 4))
    channels = phases.shape[-1]
    # Without the barrier XLA folds the transposition into the convolution. That form
    # has swapped channel axes, for which CPUs have no fast path in a loop body.
    phases = lax.optimization_barrier(phases.reshape(*phases.shape[:3], -1))
    found = _fastest(cotangent, phases, (1, 1), tuple(reach), (1, 1))
    batch, height, width = found.shape[:3]
    down, across = strides
    found = found.reshape(batch, height, width, down, across, channels)
    found = found.swapaxes(2, 3).reshape(batch, height * down, width * across, -1)
    return found[:, : sizes[0], : sizes[1]]


def _by_dilated_input(cotangent, x, kernel, strides, ends, dilations):
    """The cotangent of the input, by a convolution with the flipped kernel."""
    reach = []
    for axis, (window, stride, (low, _)) in enumerate(
        zip(_windows(kernel, dilations), strides, ends, strict=True)
    ):
        met = stride * (cotangent.shape[1 + axis] - 1) + window
        reach.append((window - 1 - low, x.shape[1 + axis] + low - met + window - 1))
    # A barrier for the reason given in `_by_input`.
    flipped = lax.optimization_barrier(jnp.flip(kernel, (0, 1)).swapaxes(2, 3))
    return lax.conv_general_dilated(
        cotangent,
        flipped,
        (1, 1),
        reach,
        lhs_dilation=strides,
        rhs_dilation=dilations,
        dimension_numbers=_LAYOUT,
    )


_conv2d = custom_vjp(_fastest, _forward, _backward, static=(2, 3, 4))
