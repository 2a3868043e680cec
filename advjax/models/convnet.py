"""VGG13 and GCNN for sound events, and the convolutions that CRNN shares with them.

Source: Iqbal, Kong, Plumbley and Wang 2018, "General-purpose audio tagging from noisy
labels using convolutional neural networks", DCASE workshop; layers and defaults as in
the authors' code for Keras 2.2.4 (`dcase2018_task2`).
"""

from typing import ClassVar

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, Int

from advjax.layers.base import Network
from advjax.layers.blocks import BatchNorm, Conv, max_pool, relu
from advjax.layers.chunks import clip_logits, standardise
from advjax.layers.images import vectors

GLOROT = nn.initializers.glorot_uniform()
"""Keras' initial kernel."""

_CHANNELS = (1, 2, 4, 8, 8)  # of each stage, as multiples of the first one's


class ConvUnit(nn.Module):
    """3x3 convolution, activation and batch norm, in this order.

    Attributes:
        features: output channels.
        gated: multiply the maps by a sigmoid of as many others, instead of ReLU.
    """

    features: int
    gated: bool

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch height width channels"], *, train: bool
    ) -> Float[Array, "batch height width {self.features}"]:
        """The normalised maps; `train` normalises by the batch's own statistics."""
        if self.gated:
            linear, gate = jnp.split(Conv(2 * self.features)(x), 2, axis=-1)
            x = linear * jax.nn.sigmoid(gate)
        else:
            x = relu(Conv(self.features)(x))
        return BatchNorm()(x, train=train)


class ConvStages(nn.Module):
    """Five stages of two units and a 2x2 max pooling; each halves time and bands.

    Attributes:
        width: channels of the first stage; the later ones have 2, 4, 8 and 8 times it.
        gated: as in `ConvUnit`.
    """

    width: int
    gated: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames bands 1"], *, train: bool
    ) -> Float[Array, "batch out_frames out_bands {8*self.width}"]:
        """The maps of the last stage; `train` takes the batch's own statistics."""
        for multiple in _CHANNELS:
            for _ in range(2):
                x = ConvUnit(multiple * self.width, self.gated)(x, train=train)
            x = max_pool(x, 2, 2)
        return x


class ConvNet(Network):
    """Ten convolutions in five stages, and the mean of each map before the head.

    Attributes:
        num_classes: number of classes.
        width: channels of the first stage.
        mean: of all entries of the training set.
        deviation: standard deviation of all entries of the training set.
    """

    gated: ClassVar[bool]

    num_classes: int
    width: int = 64
    mean: float = 0.0
    deviation: float = 1.0

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "batch *chunks frames bands 1"],
        *,
        train: bool,
        lengths: Int[Array, "batch"] | None = None,
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of clips, in chunks or not; `train` uses the batch's statistics.

        Args:
            x: levels.
            train: normalise by the batch.
            lengths: chunks of each clip, where the others are padding; None for all.
        """
        rows = standardise(x, self.mean, self.deviation)
        rows = ConvStages(self.width, self.gated)(rows, train=train)
        rows = vectors(rows, pooled=True)
        rows = nn.Dense(self.num_classes, kernel_init=GLOROT)(rows)
        return clip_logits(rows, x, lengths)


class VGG13(ConvNet):
    """VGG13: 9,430,761 trainable parameters for 41 classes. Options as in `ConvNet`."""

    gated = False


class GCNN(ConvNet):
    """GCNN, with gated convolutions in place of ReLU.

    18,834,601 trainable parameters for 41 classes. Options as in `ConvNet`.
    """

    gated = True
