"""A network that compiles in no time, for tests of whole programs."""

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from advjax.layers.base import Network


class Tiny(Network):
    """Two affine layers of the mean over frames, with dropout between them."""

    num_classes: int
    width: int = 8
    dropout: float = 0.5

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch frames bands 1"], *, train: bool
    ) -> Float[Array, "batch {self.num_classes}"]:
        # In float32 from here on, as in `ResCNN`.
        x = x[..., 0].mean(axis=1, dtype=jnp.float32)
        x = nn.relu(nn.Dense(self.width)(x))
        x = nn.Dropout(self.dropout, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)
