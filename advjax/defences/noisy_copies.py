"""Losses of several noisy copies of each example, as rows of one batch."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from advjax.defences.base import AUXILIARY_WEIGHT, Apply, GradFn, Gradients
from advjax.types import Key, PyTree

Loss = Callable[
    [Float[Array, "batch noises classes"], Int[Array, "batch"]], Float[Array, ""]
]
"""(logits of all copies, labels) -> the loss of the batch."""


def check_copies(*, sigma: float, num_noises: int, **others: float) -> None:
    """Refuse invalid options of training on noisy copies.

    Raises:
        ValueError: sigma is not positive and finite, there are no copies, or another
            option is negative or not finite.
    """
    if not (math.isfinite(sigma) and sigma > 0):
        raise ValueError(f"sigma must be positive and finite, got {sigma}")
    if num_noises < 1:
        raise ValueError(f"num_noises={num_noises}: give at least 1")
    for name, value in others.items():
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{name} must be finite and at least 0, got {value}")


def noisy_copies(
    x: Float[Array, "batch *features"], key: Key, *, sigma: float, num_noises: int
) -> Float[Array, "batch noises *features"]:
    """Copies of each example with new Gaussian noise, which is never clipped.

    The noise of a single copy is that of `gaussian` with the same key.
    """
    shape = (len(x), num_noises, *x.shape[1:])
    noise = sigma * jax.random.normal(key, shape, jnp.float32)
    return x[:, None] + noise.astype(x.dtype)


def logits_of_copies(
    apply: Apply,
    params: PyTree,
    batch_stats: PyTree,
    copies: Float[Array, "batch noises *features"],
    key: Key,
) -> tuple[tuple[Float[Array, "batch noises classes"], ...], PyTree]:
    """Logits of the network and of its auxiliary heads, if any; batch statistics.

    All copies are rows of one batch, those of one example next to each other. The batch
    statistics are those of the whole noisy batch, and devices share whole examples.
    """
    rows = copies.reshape(-1, *copies.shape[2:])
    found, stats = apply(params, batch_stats, rows, key)
    heads = found if isinstance(found, tuple) else (found,)
    return tuple(logits.reshape(*copies.shape[:2], -1) for logits in heads), stats


def gradients_of_copies(
    loss: Loss,
    apply: Apply,
    params: PyTree,
    batch_stats: PyTree,
    copies: Float[Array, "batch noises *features"],
    y: Int[Array, "batch"],
    key: Key,
) -> Gradients:
    """Gradients of `loss`; metrics `loss` and the `accuracy` over all copies.

    This `accuracy` estimates the mean probability of a correct vote, so `fit` keeps the
    weights whose votes agree most. Auxiliary heads add `AUXILIARY_WEIGHT` times their
    loss, as for `cross_entropy_gradients`.
    """

    def loss_fn(params):
        heads, stats = logits_of_copies(apply, params, batch_stats, copies, key)
        logits, *auxiliary = heads
        value = loss(logits, y)
        for others in auxiliary:
            value = value + AUXILIARY_WEIGHT * loss(others, y)
        accuracy = (logits.argmax(axis=-1) == y[:, None]).mean()
        return value, (stats, accuracy)

    (value, (stats, accuracy)), grads = jax.value_and_grad(loss_fn, has_aux=True)(
        params
    )
    return Gradients(grads, stats, {"loss": value, "accuracy": accuracy})


def copies_defence(loss: Loss, *, sigma: float, num_noises: int) -> GradFn:
    """The defence that follows `loss` on new copies in every step."""

    def gradients(apply, params, batch_stats, batch, key):
        key_noise, key_apply = jax.random.split(key)
        copies = noisy_copies(batch.x, key_noise, sigma=sigma, num_noises=num_noises)
        return gradients_of_copies(
            loss, apply, params, batch_stats, copies, batch.y, key_apply
        )

    return gradients
