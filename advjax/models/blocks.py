"""Layers that two or more networks share. Layout is [batch, height, width, channels].

Every network convolves with `Conv`: its input gradient stays fast inside a compiled
loop on CPUs, where XLA's own transposed kernel is 5 to 6 times slower.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

_LAYOUT = ("NHWC", "HWIO", "NHWC")


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def conv2d(
    x: Float[Array, "batch height width channels"],
    kernel: Float[Array | np.ndarray, "kh kw channels features"],
    stride: int,
) -> Float[Array, "batch out_height out_width features"]:
    """Two-dimensional convolution with "same" zero padding.

    Only reverse-mode differentiation is defined.
    """
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=_LAYOUT
    )


def _conv2d_forward(x, kernel, stride):
    return conv2d(x, kernel, stride), (x, kernel)


def _conv2d_backward(stride, saved, cotangent):
    x, kernel = saved
    x_bar = _by_input(cotangent, kernel, x.shape[1:3], stride)
    by_kernel = functools.partial(
        lax.conv_general_dilated,
        x,
        window_strides=(stride, stride),
        padding="SAME",
        dimension_numbers=_LAYOUT,
    )
    _, transpose = jax.vjp(by_kernel, kernel)
    return x_bar, *transpose(cotangent)


def _by_input(cotangent, kernel, sizes, stride):
    """The cotangent of the input, by one convolution that meets no zeros.

    Along an axis, input entry stride * m + phase has met output m + offset through
    kernel entry phase + low - stride * offset. So each phase is a small convolution of
    the cotangent; all are taken at once, as channels, and then interleaved. The usual
    way, with stride - 1 zeros between the cotangent's entries, multiplies by each.
    """
    windows, padding = kernel.shape[:2], []
    ends = lax.padtype_to_pads(sizes, windows, (stride, stride), "SAME")
    for axis, (window, (low, _)) in enumerate(zip(windows, ends, strict=True)):
        first, last = -((window - 1 - low) // stride), (stride - 1 + low) // stride
        padding.append((-first, last))
        offsets = np.arange(first, last + 1)[:, None]
        taken = np.arange(stride)[None, :] + low - stride * offsets
        # Entries that the kernel does not have are taken from a row of zeros after it.
        taken = np.where((taken >= 0) & (taken < window), taken, window)
        # Each kernel axis becomes two: offset and, behind it, phase.
        one_more = [(0, 0)] * kernel.ndim
        one_more[2 * axis] = (0, 1)
        kernel = jnp.take(jnp.pad(kernel, one_more), taken, axis=2 * axis)
    phases = jnp.transpose(kernel, (0, 2, 5, 1, 3, 4))
    channels = phases.shape[-1]
    # The barrier keeps XLA from folding the transposition into the convolution: the
    # folded form has swapped channel axes, for which the CPU has no fast path in a loop
    # body.
    phases = lax.optimization_barrier(phases.reshape(*phases.shape[:3], -1))
    found = lax.conv_general_dilated(
        cotangent, phases, (1, 1), padding, dimension_numbers=_LAYOUT
    )
    batch, height, width = found.shape[:3]
    found = found.reshape(batch, height, width, stride, stride, channels)
    found = found.swapaxes(2, 3).reshape(batch, height * stride, width * stride, -1)
    return found[:, : sizes[0], : sizes[1]]


conv2d.defvjp(_conv2d_forward, _conv2d_backward)


class Conv(nn.Module):
    """Convolution with bias and "same" padding; Glorot-uniform kernel, as in Keras."""

    features: int
    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The convolved maps."""
        shape = (self.kernel_size, self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.glorot_uniform(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return conv2d(x, kernel, self.stride) + bias[None, None, None, :]


def clipped_relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`min(max(x, 0), 20)`.

    Source: Deep Speaker (Li et al. 2017, arXiv:1705.02304), section 3.1.
    """
    return jnp.clip(x, 0.0, 20.0)


class ConvNormClip(nn.Module):
    """Convolution, batch norm, clipped ReLU.

    Batch norm takes Keras' epsilon, 1e-3. Its momentum is 0.9 instead of Keras' 0.99,
    whose running statistics lag behind a training of a few hundred steps.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The activated maps; `train` normalises by the batch's own statistics."""
        x = Conv(self.features, self.kernel_size, self.stride)(x)
        norm = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-3)
        return clipped_relu(norm(x))
