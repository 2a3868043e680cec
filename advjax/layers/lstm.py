"""Long short-term memory over the steps of a sequence."""

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax import lax
from jaxtyping import Array, Float


class LSTM(nn.Module):
    """A layer of long short-term memory, with the gates in PyTorch's order.

    Gates are concatenated as input, forget, candidate, output. There is one bias, the
    sum of PyTorch's two. Products take weights and states in the type of the input.

    Source: Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000;
    `torch.nn.LSTM`.

    Attributes:
        features: size of the state.
    """

    features: int

    @nn.compact
    def __call__(
        self, x: Float[Array, "batch steps inputs"]
    ) -> Float[Array, "batch steps {self.features}"]:
        """The state after each step, from a state of zeros, in the input's type."""
        n = self.features
        init = nn.initializers.glorot_uniform()
        kernel = self.param("kernel", init, (x.shape[-1], 4 * n))
        recurrent = self.param(
            "recurrent_kernel", nn.initializers.orthogonal(), (n, 4 * n)
        )
        bias = self.param("bias", nn.initializers.zeros_init(), (4 * n,))

        # One product of input and state a step: all products with inputs at once,
        # outside of the loop, take twice the time on CPUs, for their memory.
        weights = jnp.concatenate([kernel, recurrent]).astype(x.dtype)

        def step(carry, given):
            cell, state = carry
            both = jnp.concatenate([given, state], axis=1)
            gates = jnp.matmul(both, weights, preferred_element_type=jnp.float32)
            enter, keep, new, leave = jnp.split(gates + bias[None], 4, axis=1)
            cell = jax.nn.sigmoid(keep) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
            state = (jax.nn.sigmoid(leave) * jnp.tanh(cell)).astype(x.dtype)
            return (cell, state), state

        zeros = jnp.zeros((len(x), n), jnp.float32)
        start = (zeros, zeros.astype(x.dtype))
        _, states = lax.scan(step, start, x.swapaxes(0, 1))
        return states.swapaxes(0, 1)
