"""A convolutional denoising autoencoder for spectrogram images."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.blocks import Conv, relu


class Autoencoder(nn.Module):
    """Three convolutions that halve an image, and three that restore its size.

    3 x 3 kernels, ReLU, linear output. The publication states no layers: channels (1,
    2, 4 times `width`) and strides are ours. Images are enlarged by repeating entries
    before the convolution, which leaves no checkerboard (Odena, Dumoulin, Olah 2016).

    Attributes:
        width: channels of the first convolution; 32 at full size.
    """

    width: int = 32

    @nn.compact
    def __call__(
        self, images: Float[Array, "batch height width"]
    ) -> Float[Array, "batch height width"]:
        """The images without their noise; any size."""
        height, width = images.shape[1:]
        x = jnp.pad(images, [(0, 0), (0, -height % 8), (0, -width % 8)], mode="edge")[
            ..., None
        ]
        for multiple in (1, 2, 4):
            x = relu(Conv(multiple * self.width, stride=2)(x))
        for multiple in (2, 1):
            x = relu(Conv(multiple * self.width)(_double(x)))
        return Conv(1)(_double(x))[:, :height, :width, 0]


def _double(x):
    return jnp.repeat(jnp.repeat(x, 2, axis=1), 2, axis=2)
