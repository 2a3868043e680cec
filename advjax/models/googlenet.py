"""GoogLeNet (Inception-v1), for images."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.blocks import Conv, max_pool, relu
from advjax.layers.images import HE, centre, local_response_norm, scale_size, vectors

_MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}
"""Channels of each module's layers, in the order of the paper's table 1."""


class ConvRelu(nn.Module):
    """Convolution and ReLU."""

    features: int
    kernel_size: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width {self.features}"]:
        """The activated maps."""
        return relu(Conv(self.features, self.kernel_size, kernel_init=HE)(x))


class Inception(nn.Module):
    """Convolutions of three sizes and a pooling in parallel.

    Attributes:
        features: channels of: the 1x1 branch; the reduction and the convolution of the
            3x3 branch; the same of the 5x5 branch; the reduction after the pooling.
    """

    features: tuple[int, ...]

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"]
    ) -> Float[Array, "batch height width features"]:
        """The maps of all four branches, concatenated."""
        one, reduce_three, three, reduce_five, five, pool = self.features
        branches = [
            ConvRelu(one)(x),
            ConvRelu(three, 3)(ConvRelu(reduce_three)(x)),
            ConvRelu(five, 5)(ConvRelu(reduce_five)(x)),
            ConvRelu(pool)(max_pool(x, 3, 1, padding=1)),
        ]
        return jnp.concatenate(branches, axis=-1)


def _averages(x):
    """Means of 5x5 entries, three apart; a smaller map has one mean, of the whole."""
    for axis in (1, 2):
        window = min(5, x.shape[axis])
        span = (x.shape[axis] - window) // 3 * 3 + 1
        slices = [
            lax.slice_in_dim(x, first, first + span, 3, axis) for first in range(window)
        ]
        x = sum(slices) / window
    return x


class AuxiliaryHead(nn.Module):
    """A classifier of the maps in the middle of the network.

    Attributes:
        num_classes: number of classes.
        width: channels of the network's first convolution.
        pooled: use the mean of each map instead of averages of 5x5 entries.
    """

    num_classes: int
    width: int
    pooled: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits; `train` turns on dropout."""
        if not self.pooled:
            x = _averages(x)
        x = ConvRelu(scale_size(128, self.width, 64))(x)
        x = vectors(x, pooled=self.pooled)
        x = relu(nn.Dense(scale_size(1024, self.width, 64), kernel_init=HE)(x))
        x = nn.Dropout(0.7, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


class GoogLeNet(Network):
    """Inception-v1: 22 layers, and two auxiliary heads in training.

    Width 64 is the network of the paper's table 1, without batch norm: 13,372,008
    parameters for 1000 classes and one input channel (13,378,280 for three), 6,379,728
    of them in the auxiliary heads. Kernels are initialised as He et al. propose.

    Training memory (see `advjax.models`): 0.22 GiB resized, 2.14 GiB at its own size.

    Source: Szegedy et al. 2015, arXiv:1409.4842; response norms and the rounding of
        pooled
    sizes as in Caffe's `bvlc_googlenet`.

    Attributes:
        num_classes: number of classes.
        width: channels of the first convolution; all other layers are in proportion.
        resize: side of the square that inputs are resized to; None for inputs of their
            own size. The auxiliary heads then take the mean of each map, otherwise
            averages of 5x5 entries.
        dropout: share dropped of the last layer's input in training.
    """

    num_classes: int
    width: int = 64
    resize: int | None = 224
    dropout: float = 0.4

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> (
        Float[Array, "batch {self.num_classes}"]
        | tuple[Float[Array, "batch {self.num_classes}"], ...]
    ):
        """Logits of images in [0, 1]; in training also those of both heads."""

        def size(features):
            return scale_size(features, self.width, 64)

        x = centre(x, self.resize)
        x = relu(Conv(size(64), 7, stride=2, padding=3, kernel_init=HE)(x))
        x = local_response_norm(max_pool(x, 3, 2))
        x = ConvRelu(size(192), 3)(ConvRelu(size(64))(x))
        x = max_pool(local_response_norm(x), 3, 2)
        auxiliary = []
        for name, features in _MODULES.items():
            x = Inception(tuple(map(size, features)), name=f"inception_{name}")(x)
            if name in ("3b", "4e"):
                x = max_pool(x, 3, 2)
            # Initialised with the other layers, but computed in training only.
            if name in ("4a", "4d") and (train or self.is_initializing()):
                head = AuxiliaryHead(self.num_classes, self.width, self.resize is None)
                auxiliary.append(head(x, train=train))
        x = vectors(x, pooled=True)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        logits = nn.Dense(self.num_classes)(x)
        return (logits, *auxiliary) if train else logits
