"""The gated convolutional network for sound events."""

from flax import linen as nn
from jaxtyping import Array, Float

from advjax.models.convnet import GLOROT, ConvStages
from advjax.models.images import vectors


class GCNN(nn.Module):
    """VGG13 with gated convolutions in place of ReLU.

    Width 64 is the published network: 18,834,601 trainable parameters for 41 classes.

    Source: as `advjax.models.convnet`.

    Attributes:
        num_classes: classes.
        width: channels of the first stage.
    """

    num_classes: int
    width: int = 64

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames bands 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of standardised log-mels; `train` takes the batch's statistics."""
        x = vectors(ConvStages(self.width, gated=True)(x, train=train), pooled=True)
        return nn.Dense(self.num_classes, kernel_init=GLOROT)(x)
