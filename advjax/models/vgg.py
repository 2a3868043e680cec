"""VGG-16, for images."""

from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.blocks import Conv, max_pool, relu
from advjax.layers.images import HE, centre, vectors

_STAGES = ((2, 1), (2, 2), (3, 4), (3, 8), (3, 8))
"""Convolutions of each stage, and their channels as multiples of the first one's."""


class VGG16(Network):
    """Thirteen 3x3 convolutions in five stages, and three fully connected layers.

    Width 64 is the published network: 138,356,392 parameters for 1000 classes and one
    input channel (138,357,544 for three). It has no batch norm. Kernels are initialised
    as He et al. propose, where the authors pretrained shallower networks.

    Training memory (see `advjax.models`): 2.09 GiB resized, 4.19 GiB at its own size.

    Source: Simonyan and Zisserman 2015, arXiv:1409.1556, configuration D.

    Attributes:
        num_classes: number of classes.
        width: channels of the first stage; all other layers are in proportion.
        resize: side of the square that inputs are resized to; None for inputs of their
            own size and the mean of each map before the first fully connected layer.
        dropout: share dropped of the first two fully connected layers in training.
    """

    num_classes: int
    width: int = 64
    resize: int | None = 224
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of images in [0, 1]; `train` turns on dropout."""
        x = centre(x, self.resize)
        for count, multiple in _STAGES:
            for _ in range(count):
                x = relu(Conv(self.width * multiple, kernel_init=HE)(x))
            x = max_pool(x, 2, 2)
        x = vectors(x, pooled=self.resize is None)
        for _ in range(2):
            x = relu(nn.Dense(64 * self.width, kernel_init=HE)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)
