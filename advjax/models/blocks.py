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
    sizes, windows = x.shape[1:3], kernel.shape[:2]
    padding = []
    forward = lax.padtype_to_pads(sizes, windows, (stride, stride), "SAME")
    for size, window, out, (low, _) in zip(
        sizes, windows, cotangent.shape[1:3], forward, strict=True
    ):
        before = window - 1 - low
        padding.append((before, size + window - 2 - (out - 1) * stride - before))
    # The barrier keeps XLA from folding the flip back into the convolution: the folded
    # form has swapped channel axes, for which the CPU has no fast path in a loop body.
    flipped = lax.optimization_barrier(kernel[::-1, ::-1].swapaxes(2, 3))
    x_bar = lax.conv_general_dilated(
        cotangent,
        flipped,
        (1, 1),
        padding,
        lhs_dilation=(stride, stride),
        dimension_numbers=_LAYOUT,
    )
    by_kernel = functools.partial(
        lax.conv_general_dilated,
        x,
        window_strides=(stride, stride),
        padding="SAME",
        dimension_numbers=_LAYOUT,
    )
    _, transpose = jax.vjp(by_kernel, kernel)
    return x_bar, *transpose(cotangent)


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
