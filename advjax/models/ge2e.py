"""The GE2E speaker encoder, with enrolled speakers as classes."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network
from advjax.layers.lstm import LSTM
from advjax.signal.decibels import safe_sqrt


class GE2E(Network):
    """A speaker encoder of three LSTMs, and cosines with the enrolled speakers.

    The last state of each partial utterance passes an affine layer and a ReLU, and is
    divided by its norm. A clip's embedding is the mean over its partial utterances,
    divided by its norm. A logit is `scale` times the cosine of the embedding with a
    speaker. With 40 bands the encoder has 1,420,544 parameters, counting PyTorch's two
    biases of a gate as one.

    Source: Wan et al. 2018, arXiv:1710.10467, and `VoiceEncoder` of Resemblyzer 0.1.4,
    `forward` and `embed_utterance`. `scale` is the w of equation 5, which training
    begins at 10; the b there moves all logits alike and is left out.

    Attributes:
        num_classes: number of enrolled speakers.
        width: size of the states and of the embedding.
        num_layers: number of LSTMs.
    """

    num_classes: int
    width: int = 256
    num_layers: int = 3

    def setup(self):
        """The encoder, the speakers' embeddings, and the scale of the logits."""
        self.lstms = [LSTM(self.width) for _ in range(self.num_layers)]
        self.linear = nn.Dense(self.width)
        init = nn.initializers.normal()
        self.speakers = self.param("speakers", init, (self.num_classes, self.width))
        self.scale = self.param("scale", nn.initializers.constant(10.0), ())

    def embed(
        self, x: Float[Array, "batch *partials frames bands 1"]
    ) -> Float[Array, "batch {self.width}"]:
        """Embeddings of clips, of norm 1."""
        rows = x.reshape(-1, *x.shape[-3:-1])
        for lstm in self.lstms:
            rows = lstm(rows)
        # In float32 from here on, whatever the type of the states.
        last = rows[:, -1].astype(jnp.float32)
        partials = unit(nn.relu(self.linear(last)))
        return unit(partials.reshape(len(x), -1, self.width).mean(axis=1))

    def __call__(
        self, x: Float[Array, "batch *partials frames bands 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        """Logits of clips; training and evaluation are the same."""
        del train
        speakers = unit(jnp.asarray(self.speakers))
        return self.scale * jnp.matmul(self.embed(x), speakers.T)


def unit(rows: Float[Array, "rows entries"]) -> Float[Array, "rows entries"]:
    """The rows divided by their norms; zeros stay zeros, with a finite gradient."""
    return rows / safe_sqrt(jnp.square(rows).sum(axis=1, keepdims=True), 1e-24)
