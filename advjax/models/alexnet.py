"""AlexNet, for images."""

from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.blocks import Conv, max_pool, relu
from advjax.layers.images import HE, centre, local_response_norm, scale_size, vectors


class AlexNet(Network):
    """Five convolutions, three of them in two groups, and three fully connected layers.

    Width 96 is the published network: 60,941,992 parameters for 1000 classes and one
    input channel (60,965,224 for three). Kernels are initialised as He et al. propose,
    instead of with a standard deviation of 0.01, which is for pixels up to 255.

    Training memory (see `advjax.models`): 0.83 GiB resized, 1.09 GiB at its own size.

    Source: Krizhevsky et al. 2012; layers as in Caffe's `bvlc_alexnet`, which
        normalises
    before it pools.

    Attributes:
        num_classes: number of classes.
        width: channels of the first convolution; all other layers are in proportion.
        resize: side of the square that inputs are resized to, at least 11; None for
            inputs of their own size and the mean of each map before the first fully
            connected layer.
        dropout: share dropped of the first two fully connected layers in training.
    """

    num_classes: int
    width: int = 96
    resize: int | None = 227
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of images in [0, 1]; `train` turns on dropout."""

        def conv(x, features, kernel_size, **options):
            # An even number, for two groups.
            features = scale_size(features, self.width, 96, multiple=2)
            return relu(Conv(features, kernel_size, kernel_init=HE, **options)(x))

        x = conv(centre(x, self.resize), 96, 11, stride=4, padding=0)
        x = max_pool(local_response_norm(x), 3, 2)
        x = conv(x, 256, 5, groups=2)
        x = max_pool(local_response_norm(x), 3, 2)
        x = conv(x, 384, 3)
        x = conv(x, 384, 3, groups=2)
        x = max_pool(conv(x, 256, 3, groups=2), 3, 2)
        x = vectors(x, pooled=self.resize is None)
        for _ in range(2):
            x = relu(nn.Dense(scale_size(4096, self.width, 96), kernel_init=HE)(x))
            x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)
