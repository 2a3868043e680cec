"""Deep Speaker's residual CNN with a softmax head."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.blocks import BatchNorm, Conv, clipped_relu


class ConvNormClip(nn.Module):
    """Convolution, batch norm, clipped ReLU."""

    features: int
    kernel_size: int = 3
    stride: int = 1

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch out_height out_width {self.features}"]:
        """The activated maps; `train` normalises by the batch's own statistics."""
        x = Conv(self.features, self.kernel_size, self.stride)(x)
        return clipped_relu(BatchNorm()(x, train=train))


class ResCNN(Network):
    """Four stages of one strided 5x5 convolution and three identity blocks.

    Width 64 is the published network: 24,177,418 trainable parameters for ten speakers.
    Compute grows with the square of the width.

    Source: Li et al. 2017, arXiv:1705.02304; layers as in deep-speaker's
        `conv_models.py`,
    whose identity block also clips before the addition.

    Attributes:
        num_classes: number of speakers.
        width: channels of the first stage; each later stage doubles them.
        embedding_size: units of the affine layer before the head.
        dropout: share of pooled features dropped in training.
    """

    num_classes: int
    width: int = 64
    embedding_size: int = 512
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames bands 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits; `train` turns on dropout and batch statistics."""
        for stage in range(4):
            features = self.width * 2**stage
            x = ConvNormClip(features, 5, stride=2)(x, train=train)
            for _ in range(3):
                y = ConvNormClip(features)(x, train=train)
                y = ConvNormClip(features)(y, train=train)
                x = clipped_relu(x + y)
        # Float32 from here on, whatever the type of the maps.
        x = jnp.reshape(x, (*x.shape[:2], -1)).mean(axis=1, dtype=jnp.float32)
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        init = nn.initializers.glorot_uniform()
        x = nn.Dense(self.embedding_size, kernel_init=init, name="affine")(x)
        return nn.Dense(self.num_classes, kernel_init=init, name="softmax")(x)
