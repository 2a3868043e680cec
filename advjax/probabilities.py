"""Means of class probabilities, computed from logits."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_mean_softmax(
    logits: Float[Array, "*batch rows classes"],
) -> Float[Array, "*batch classes"]:
    """The logarithm of the mean softmax over rows, computed without underflow."""
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return jax.nn.logsumexp(logs, axis=-2) - math.log(logits.shape[-2])
