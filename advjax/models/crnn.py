"""The convolutional recurrent network for sound events."""

import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float, Int

from advjax.layers.base import Network
from advjax.layers.blocks import relu
from advjax.layers.chunks import clip_logits, standardise
from advjax.models.convnet import GLOROT, ConvStages


class GRU(nn.Module):
    """A gated recurrent unit as in Keras 2.2.4, with ReLU.

    Gates are hard sigmoids, `clip(0.2 x + 0.5, 0, 1)`. The reset gate multiplies the
    state before its product with the kernel. Kernels are concatenated in the order of
    Keras: update, reset, candidate.

    Source: Cho et al. 2014, arXiv:1406.1078, without `reset_after`.

    Attributes:
        features: size of the state.
        backwards: read from the last step to the first. The result keeps the order of
            the input.
    """

    features: int
    backwards: bool = False

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch steps inputs"]
    ) -> Float[Array, "batch steps {self.features}"]:
        """The state after each step, from a state of zeros."""
        n = self.features
        kernel = self.param("kernel", GLOROT, (x.shape[-1], 3 * n))
        recurrent = self.param(
            "recurrent_kernel", nn.initializers.orthogonal(), (n, 3 * n)
        )
        bias = self.param("bias", nn.initializers.zeros_init(), (3 * n,))

        def step(state, given):
            both = given[:, : 2 * n] + jnp.matmul(state, recurrent[:, : 2 * n])
            update, reset = jnp.split(jnp.clip(0.2 * both + 0.5, 0.0, 1.0), 2, axis=1)
            candidate = given[:, 2 * n :] + jnp.matmul(
                reset * state, recurrent[:, 2 * n :]
            )
            state = update * state + (1 - update) * relu(candidate)
            return state, state

        # All products with inputs at once, outside of the loop.
        given = jnp.matmul(x, kernel) + bias[None, None]
        start = jnp.zeros((len(x), n), given.dtype)
        _, states = lax.scan(step, start, given.swapaxes(0, 1), reverse=self.backwards)
        return states.swapaxes(0, 1)


class CRNN(Network):
    """The convolutions of VGG13, and a GRU over time in both directions.

    Maps are averaged over bands before the GRU, its states over time after it. Width 64
    is the published network: 12,600,553 trainable parameters for 41 classes.

    Source: as `advjax.models.convnet`.

    Attributes:
        num_classes: number of classes.
        width: channels of the first stage; the state of each GRU is 8 times as large.
        mean: of all entries of the training set.
        deviation: standard deviation of all entries of the training set.
    """

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
        rows = ConvStages(self.width)(rows, train=train)
        # In float32 from here on, whatever the type of the maps.
        rows = rows.astype(jnp.float32).mean(axis=2)
        states = [
            GRU(8 * self.width, backwards=backwards)(rows)
            for backwards in (False, True)
        ]
        rows = jnp.concatenate(states, axis=-1).mean(axis=1)
        rows = nn.Dense(self.num_classes, kernel_init=GLOROT)(rows)
        return clip_logits(rows, x, lengths)
