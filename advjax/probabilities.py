"""Means of the probabilities that several rows of logits stand for."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def log_mean_softmax(
    logits: Float[Array, "*batch rows classes"],
) -> Float[Array, "*batch classes"]:
    """The logarithm of the mean over rows of their softmaxes, computed in logs."""
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    return jax.nn.logsumexp(logs, axis=-2) - math.log(logits.shape[-2])
