"""Layers shared by several networks. The layout is [batch, height, width, channels].

Every network convolves with `Conv` and pools with `max_pool`, for speed on CPUs: see
`convolution`. XLA's own pooling is several times slower in training there. Other
devices take XLA's own form of some operations: see `targets.STOCK_FORMS`.
"""

import functools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from advjax.layers.convolution import conv2d
from advjax.runtime import targets


def max_pool(
    x: Float[Array, "batch height width channels"],
    window: int,
    stride: int,
    padding: int = 0,
) -> Float[Array, "batch out_height out_width channels"]:
    """The greatest entry of each window, computed by comparing strided slices.

    The last window of an axis may extend beyond its end, as in Caffe: n entries become
    ceil((n + 2 * padding - window) / stride) + 1, and at least one. Of equal entries
    the first, row by row, takes the gradient, as in XLA's own pooling, whose gradient
    is several times slower on CPUs.

    Args:
        x: maps.
        window: entries along both axes; at least stride + padding.
        stride: entries from one window to the next.
        padding: entries on every side that are never the greatest.
    """
    counts = {
        axis: max(1, -(-(x.shape[axis] + 2 * padding - window) // stride) + 1)
        for axis in (1, 2)
    }
    if targets.takes_stock("pool"):
        ends = [
            (padding, stride * (count - 1) + window - x.shape[axis] - padding)
            for axis, count in counts.items()
        ]
        ends, strides = ((0, 0), *ends, (0, 0)), (1, stride, stride, 1)
        return lax.reduce_window(
            x, -jnp.inf, lax.max, (1, window, window, 1), strides, ends
        )
    # Along the width first, so that the first row with the maximum wins a tie.
    for axis in (2, 1):
        x = greatest_along(x, axis, counts[axis], window, stride, padding)
    return x


def greatest_along(
    x: Float[Array, "*shape"],
    axis: int,
    count: int,
    window: int,
    stride: int,
    padding: int,
    dilation: int = 1,
) -> Float[Array, "*pooled"]:
    """The greatest entry of each window along one axis; of equal ones the first.

    Args:
        x: any array.
        axis: of the windows.
        count: of windows; the last may extend beyond the axis, or stop before its end.
        window: entries of a window.
        stride: entries from one window to the next.
        padding: entries before the axis that are never the greatest.
        dilation: entries from one entry of a window to the next.
    """
    span = stride * (count - 1) + 1
    ends = [(0, 0, 0)] * x.ndim
    met = span + dilation * (window - 1)
    ends[axis] = (padding, met - x.shape[axis] - padding, 0)
    x = lax.pad(x, jnp.asarray(-jnp.inf, x.dtype), ends)
    firsts = range(0, dilation * window, dilation)
    slices = [lax.slice_in_dim(x, at, at + span, stride, axis) for at in firsts]
    return functools.reduce(_first_greatest, slices)


def _first_greatest(first, second):
    """The greater one; NaN if either is NaN."""
    return jnp.where((first >= second) | jnp.isnan(first), first, second)


def channel_sums(
    x: Float[Array, "batch height width channels"],
) -> Float[Array, "channels"]:
    """The sum over all but the last axis, in float32; on a CPU as a product with ones.

    There XLA's own sum over leading axes strides over the channels and measured two to
    four times slower. Elsewhere the product would keep what is summed in memory.
    """
    if targets.takes_stock("sum"):
        return jnp.sum(x, axis=(0, 1, 2), dtype=_at_least_float32(x.dtype))
    rows = x.reshape(-1, x.shape[-1])
    return jnp.matmul(
        jnp.ones_like(rows[:, 0]),
        rows,
        precision=lax.Precision.HIGHEST,
        preferred_element_type=_at_least_float32(x.dtype),
    )


def _at_least_float32(dtype):
    return jnp.float32 if dtype.itemsize < 4 else dtype


def _widened(x):
    return x.astype(_at_least_float32(x.dtype))


def _per_channel(x):
    return x[None, None, None, :]


@jax.custom_vjp
def add_bias(
    x: Float[Array, "batch height width channels"], bias: Float[Array, "channels"]
) -> Float[Array, "batch height width channels"]:
    """`x + bias`; the gradient by `bias` is computed by `channel_sums`."""
    return x + _per_channel(bias)


add_bias.defvjp(
    lambda x, bias: (add_bias(x, bias), None),
    lambda _, bar: (bar, channel_sums(bar).astype(bar.dtype)),
)


@functools.partial(jax.custom_vjp, nondiff_argnums=(3,))
def batch_norm(
    x: Float[Array, "batch height width channels"],
    scale: Float[Array, "channels"],
    bias: Float[Array, "channels"],
    epsilon: float,
) -> tuple[
    Float[Array, "batch height width channels"],
    Float[Array, "channels"],
    Float[Array, "channels"],
]:
    """Normalise `x` by the batch's own statistics, which are float32.

    Returns:
        The normalised maps in the type of `x`, and the batch's mean and variance for
        the running statistics. No gradient flows back through the statistics.

    Source: Ioffe and Szegedy 2015, arXiv:1502.03167, algorithm 1 and section 3.
    """
    return _batch_norm_forward(x, scale, bias, epsilon)[0]


def _batch_norm_forward(x, scale, bias, epsilon):
    wide, count = _widened(x), x.size // x.shape[-1]
    mean = channel_sums(x) / count
    variance = jnp.maximum(channel_sums(wide * wide) / count - mean**2, 0)
    gain = lax.rsqrt(variance + epsilon)
    out = _affine(wide, mean, gain * scale, bias).astype(x.dtype)
    return (out, mean, variance), (x, scale, mean, gain)


def _batch_norm_backward(epsilon, saved, cotangents):
    del epsilon
    x, scale, mean, gain = saved
    kind, count = x.dtype, x.size // x.shape[-1]
    out_bar, x = _widened(cotangents[0]), _widened(x)
    centred = x - _per_channel(mean)
    scale_bar = channel_sums(out_bar * centred) * gain
    bias_bar = channel_sums(out_bar)
    slope = scale * gain
    # The last operation joins two arrays, for the reason given in `clipped_relu`.
    x_bar = _per_channel(slope) * (out_bar - _per_channel(bias_bar / count))
    x_bar = x_bar - centred * _per_channel(slope * gain * scale_bar / count)
    return x_bar.astype(kind), scale_bar, bias_bar


def _affine(x, mean, slope, bias):
    return (x - _per_channel(mean)) * _per_channel(slope) + _per_channel(bias)


batch_norm.defvjp(_batch_norm_forward, _batch_norm_backward)


class Conv(nn.Module):
    """Convolution; by default with bias, "same" padding and Keras' initial kernel.

    It computes in the type of its input, whatever the type of its weights.

    Attributes:
        features: output channels.
        kernel_size: entries of the kernel along both axes.
        stride: as in `conv2d`.
        padding: as in `conv2d`.
        groups: parts that the channels are split into, each convolved by itself.
        use_bias: whether each output channel has a bias.
        kernel_init: initialiser of the kernel; None for Keras', Glorot's uniform one.
    """

    features: int
    kernel_size: int = 3
    stride: int = 1
    padding: int | None = None
    groups: int = 1
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer | None = None

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The convolved maps."""
        window = (self.kernel_size, self.kernel_size)
        shape = (*window, x.shape[-1] // self.groups, self.features)
        init = self.kernel_init or nn.initializers.glorot_uniform()
        kernel = self.param("kernel", init, shape).astype(x.dtype)
        if self.groups == 1:
            x = conv2d(x, kernel, self.stride, self.padding)
        else:
            found = [
                conv2d(part, weights, self.stride, self.padding)
                for part, weights in zip(
                    jnp.split(x, self.groups, axis=-1),
                    jnp.split(kernel, self.groups, axis=-1),
                    strict=True,
                )
            ]
            x = jnp.concatenate(found, axis=-1)
        if not self.use_bias:
            return x
        bias = self.param("bias", nn.initializers.zeros_init(), (self.features,))
        return add_bias(x, bias.astype(x.dtype))


def relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`max(x, 0)`; its derivative at 0 is 0."""
    if targets.takes_stock("clip"):
        return nn.relu(x)
    # A select, for the reason given in `clipped_relu`.
    return jnp.where(x <= 0, 0.0, x)


def clipped_relu(x: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """`min(max(x, 0), 20)`.

    Source: Deep Speaker (Li et al. 2017, arXiv:1705.02304), section 3.1.
    """
    if targets.takes_stock("clip"):
        return jnp.clip(x, 0.0, 20.0)
    # XLA stores the result of a select once. A clip and its inputs would be computed
    # again inside each transposition that a kernel's gradient needs.
    return jnp.where(x <= 0, 0.0, jnp.where(x > 20, 20.0, x))


class BatchNorm(nn.Module):
    """Batch normalisation over all axes but the last; equal to `flax.linen.BatchNorm`.

    The default epsilon is Keras' 1e-3. Momentum is 0.9 instead of Keras' 0.99, whose
    running statistics lag in a training of a few hundred steps.
    """

    momentum: float = 0.9
    epsilon: float = 1e-3

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch height width channels"]:
        """The normalised maps; `train` uses and records the batch's statistics."""
        shape = x.shape[-1:]
        mean = self.variable("batch_stats", "mean", jnp.zeros, shape)
        variance = self.variable("batch_stats", "var", jnp.ones, shape)
        scale = self.param("scale", nn.initializers.ones_init(), shape)
        bias = self.param("bias", nn.initializers.zeros_init(), shape)
        if not train:
            gain = lax.rsqrt(variance.value + self.epsilon) * scale
            if x.dtype == jnp.float32:
                return _affine(x, mean.value, gain, bias)
            # Folded in float32, because a mean rounded to bfloat16 is too coarse.
            shift = bias - mean.value * gain
            return x * _per_channel(gain.astype(x.dtype)) + _per_channel(
                shift.astype(x.dtype)
            )
        x, *found = batch_norm(x, scale, bias, self.epsilon)
        if not self.is_initializing():
            for kept, new in zip((mean, variance), found, strict=True):
                kept.value = self.momentum * kept.value + (1 - self.momentum) * new
        return x
