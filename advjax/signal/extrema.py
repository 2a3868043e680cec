"""The greatest and the least entry, safe to differentiate.

The gradient of `max` compares every entry with the result. Where a compiler computes
the entries twice, in two ways, none is equal, and the gradient divides by zero. Here
the gradient goes to the first entry that holds the extremum, found by its place.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def greatest(x: Float[Array, "*shape"]) -> Float[Array, ""]:
    """The greatest entry of all."""
    return x.ravel()[jnp.argmax(x)]


def least(x: Float[Array, "*shape"]) -> Float[Array, ""]:
    """The least entry of all."""
    return x.ravel()[jnp.argmin(x)]
