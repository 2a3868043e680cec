"""Residual networks: ResNet-18 and ResNet-34 for ImageNet, ResNet-56 for CIFAR.

Source: He et al. 2016, arXiv:1512.03385.
"""

from typing import ClassVar

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.blocks import BatchNorm, Conv, max_pool, relu
from advjax.layers.images import HE, centre, vectors


class ConvNorm(nn.Module):
    """Convolution without bias, padded to keep a map's size, and batch norm."""

    features: int
    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The normalised maps."""
        x = Conv(
            self.features,
            self.kernel_size,
            self.stride,
            padding=self.kernel_size // 2,
            use_bias=False,
            kernel_init=HE,
        )(x)
        # 1e-5 is the epsilon of the authors' own definition, in Caffe.
        return BatchNorm(epsilon=1e-5)(x, train=train)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them.

    Attributes:
        features: output channels.
        stride: of the first convolution and of the shortcut.
        projection: between maps of unequal shape, use a 1x1 convolution as the shortcut
            (option B of the paper). False takes every `stride`-th entry and adds
            channels of zeros (option A).
    """

    features: int
    stride: int
    projection: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The activated maps; `train` normalises by the batch's own statistics."""
        y = relu(ConvNorm(self.features, stride=self.stride)(x, train=train))
        y = ConvNorm(self.features)(y, train=train)
        if x.shape != y.shape and self.projection:
            x = ConvNorm(self.features, 1, self.stride)(x, train=train)
        elif x.shape != y.shape:
            x = x[:, :: self.stride, :: self.stride]
            more = self.features - x.shape[-1]
            x = jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, more)))
        return relu(x + y)


def _stages(x, blocks: tuple[int, ...], width: int, projection: bool, train: bool):
    """The stages of blocks; each later one halves the maps and doubles the channels."""
    for stage, count in enumerate(blocks):
        for block in range(count):
            stride = 2 if stage > 0 and block == 0 else 1
            x = BasicBlock(width * 2**stage, stride, projection)(x, train=train)
    return x


class ResNet(Network):
    """A residual network of basic blocks, as for ImageNet.

    The mean of each map precedes the head, whether inputs are resized or not.

    Attributes:
        blocks: basic blocks in each stage.
        num_classes: number of classes.
        width: channels of the first stage; each later stage doubles them.
        resize: side of the square that inputs are resized to; None for inputs of their
            own size.
    """

    blocks: ClassVar[tuple[int, ...]]

    num_classes: int
    width: int = 64
    resize: int | None = 224

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of images in [0, 1]; `train` uses the batch's own statistics."""
        x = centre(x, self.resize)
        x = relu(ConvNorm(self.width, 7, stride=2)(x, train=train))
        x = _stages(max_pool(x, 3, 2), self.blocks, self.width, True, train)
        return nn.Dense(self.num_classes)(vectors(x, pooled=True))


class ResNet18(ResNet):
    """ResNet-18: 11,683,240 parameters for 1000 classes and one input channel.

    11,689,512 for three channels, as torchvision counts. Options as in `ResNet`.

    Training memory (see `advjax.models`): 0.24 GiB resized, 1.02 GiB at its own size.
    """

    blocks = (2, 2, 2, 2)


class ResNet34(ResNet):
    """ResNet-34: 21,791,400 parameters for 1000 classes and one input channel.

    21,797,672 for three channels, as torchvision counts. Options as in `ResNet`.

    Training memory (see `advjax.models`): 0.44 GiB resized, 1.69 GiB at its own size.
    """

    blocks = (3, 4, 6, 3)


class ResNet56(Network):
    """The residual network of 6n + 2 layers for CIFAR, with n = 9.

    852,730 parameters for ten classes and one input channel (853,018 for three), with
    the paper's parameter-free shortcuts. The often cited 855,770 include 1x1
    convolutions in two shortcuts.

    Training memory (see `advjax.models`): 0.04 GiB resized, 9.98 GiB at its own size.

    Source: He et al. 2016, section 4.2. The mean of each map precedes the head, whether
    inputs are resized or not.

    Attributes:
        num_classes: number of classes.
        width: channels of the first stage; each later stage doubles them.
        resize: side of the square that inputs are resized to; None for inputs of their
            own size.
    """

    num_classes: int
    width: int = 16
    resize: int | None = 32

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of images in [0, 1]; `train` uses the batch's own statistics."""
        x = relu(ConvNorm(self.width)(centre(x, self.resize), train=train))
        x = _stages(x, (9, 9, 9), self.width, False, train)
        return nn.Dense(self.num_classes)(vectors(x, pooled=True))
