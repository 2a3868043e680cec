"""PyTorch's convolutions and pooling, by the layers of this package.

torchax lowers them to channels-first operations of XLA, which are many times slower on
CPUs in the body of a compiled loop, and in gradients.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from advjax.layers import blocks
from advjax.layers.convolution import conv2d

MOST_GROUPS = 16
"""Groups of channels that are convolved one after the other."""


def convolution(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """The lowering of `aten.convolution`.

    Args:
        theirs: the lowering for transposed convolutions, and for three dimensions.
    """

    def lowered(
        x, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    ):
        num_axes = weight.ndim - 2
        given = (stride, padding, dilation, transposed, output_padding, groups)
        if transposed or num_axes > 2 or groups > MOST_GROUPS:
            return theirs(x, weight, bias, *given)
        one = x.ndim == weight.ndim - 1
        maps = x[None] if one else x
        if num_axes == 1:
            maps, weight = maps[:, :, None], weight[:, :, None]
        stride, padding, dilation = (
            _pair(each, num_axes, first)
            for each, first in ((stride, 1), (padding, 0), (dilation, 1))
        )
        maps = jnp.moveaxis(maps, 1, -1)
        kernel = jnp.transpose(weight, (2, 3, 1, 0))
        parts = zip(
            jnp.split(maps, groups, axis=-1),
            jnp.split(kernel, groups, axis=-1),
            strict=True,
        )
        found = [conv2d(*part, stride, padding, dilation) for part in parts]
        found = jnp.concatenate(found, axis=-1) if groups > 1 else found[0]
        if bias is not None:
            found = found + bias
        found = jnp.moveaxis(found, -1, 1)
        if num_axes == 1:
            found = found[:, :, 0]
        return found[0] if one else found

    return lowered


def max_pool(theirs: Callable[..., Any]) -> Callable[..., Any]:
    """The lowering of `aten.max_pool2d_with_indices`, and of that in three dimensions.

    Args:
        theirs: the lowering whose indices are taken; XLA drops them where unused.
    """

    def lowered(x, kernel_size, stride=(), padding=0, dilation=1, ceil_mode=False):
        given = (kernel_size, stride or kernel_size, padding, dilation)
        _, places = theirs(lax.stop_gradient(x), *given, ceil_mode)
        num_axes = len(kernel_size)
        x = jnp.moveaxis(x, -num_axes - 1, -1)
        each = zip(
            range(x.ndim - num_axes - 1, x.ndim - 1),
            *(_numbers(value, num_axes) for value in given),
            strict=True,
        )
        # From the last axis, so that the first row with the maximum wins a tie.
        for axis, window, step, low, spread in reversed(list(each)):
            room = x.shape[axis] + 2 * low - spread * (window - 1) - 1
            count = room // step + 1
            # A further window has to begin within the input or the zeros before it.
            if ceil_mode and room % step and count * step < x.shape[axis] + low:
                count += 1
            x = blocks.greatest_along(x, axis, count, window, step, low, spread)
        return jnp.moveaxis(x, -1, -num_axes - 1), places

    return lowered


LOWERINGS = {
    "convolution": convolution,
    "max_pool2d_with_indices": max_pool,
    "max_pool3d_with_indices": max_pool,
}
"""By the operation of `torch.ops.aten`; each is given that of torchax."""


def _numbers(value: int | Sequence[int], count: int) -> list[int]:
    given = [value] if isinstance(value, int) else list(value)
    return given * count if len(given) == 1 else given


def _pair(value: int | Sequence[int], num_axes: int, first: int) -> tuple[int, int]:
    """Numbers for two axes; a single axis lies behind one of size 1."""
    given = _numbers(value, num_axes)
    return (first, *given) if num_axes == 1 else tuple(given)
