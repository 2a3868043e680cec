"""VGG13 for sound events."""

from flax import linen as nn
from jaxtyping import Array, Float

from advjax.models.convnet import GLOROT, ConvStages
from advjax.models.images import vectors


class VGG13(nn.Module):
    """Ten 3x3 convolutions in five stages, and the mean of each map before the head.

    Width 64 is the published network: 9,430,761 trainable parameters for 41 classes.

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
        x = vectors(ConvStages(self.width)(x, train=train), pooled=True)
        return nn.Dense(self.num_classes, kernel_init=GLOROT)(x)
