"""Means of class probabilities, computed from logits."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


def log_mean_softmax(
    logits: Float[Array, "*batch rows classes"],
    counts: Int[Array, "*batch"] | None = None,
) -> Float[Array, "*batch classes"]:
    """The logarithm of the mean softmax over rows, computed without underflow.

    Args:
        logits: the rows.
        counts: the mean is over so many first rows; None for all.
    """
    logs = jax.nn.log_softmax(logits.astype(jnp.float32))
    if counts is None:
        return jax.nn.logsumexp(logs, axis=-2) - math.log(logits.shape[-2])
    row = jnp.arange(logits.shape[-2], dtype=jnp.int32)
    counted = row.reshape(*[1] * counts.ndim, -1) < counts[..., None]
    logs = jnp.where(counted[..., None], logs, -jnp.inf)
    number = counts[..., None].astype(jnp.float32)
    return jax.nn.logsumexp(logs, axis=-2) - jnp.log(number)
