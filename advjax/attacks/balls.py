"""Norm balls around an example, and budgets for a given level."""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

from advjax.padding import WHOLE, Own
from advjax.types import Features, Key


class Ball(NamedTuple):
    """The ball of one norm and radius, as functions of a perturbation.

    Attributes:
        project: a perturbation to the nearest one inside the ball.
        sample: (key, perturbation of the wanted shape, its own entries) to a uniform
            sample of the ball in these entries.
        steepest: a gradient to the direction of norm 1 of steepest ascent.
    """

    project: Callable[[Features], Features]
    sample: Callable[..., Features]
    steepest: Callable[[Features], Features]


def ball(norm: str, eps: Float[Array, ""]) -> Ball:
    """The ball of radius `eps` in the norm "linf" or "l2"."""
    return {"linf": linf, "l2": l2}[norm](eps)


def linf(eps: Float[Array, ""]) -> Ball:
    """The box in which no entry moves further than `eps`."""

    def sample(key: Key, like: Features, own: Own = WHOLE) -> Features:
        drawn = jax.random.uniform(key, like.shape, jnp.float32, -1.0, 1.0)
        return eps * own.keep(drawn)

    return Ball(
        lambda delta: optax.projections.projection_linf_ball(delta, eps),
        sample,
        jnp.sign,
    )


def l2(eps: Float[Array, ""]) -> Ball:
    """The Euclidean ball."""

    def sample(key: Key, like: Features, own: Own = WHOLE) -> Features:
        key_direction, key_radius = jax.random.split(key)
        direction = jax.random.normal(key_direction, like.shape, jnp.float32)
        # The ball of radius r has r^d of the volume of the unit ball.
        share = jax.random.uniform(key_radius, (), jnp.float32) ** jnp.float32(
            1 / own.count(like)
        )
        return eps * share * unit(own.keep(direction))

    return Ball(
        lambda delta: delta * jnp.minimum(1.0, eps / jnp.maximum(norm2(delta), _TINY)),
        sample,
        unit,
    )


_TINY = 1e-30
"""Less than any norm of a float32 perturbation; prevents 0 / 0."""


def norm2(x: Features) -> Float[Array, ""]:
    """The Euclidean norm over all axes."""
    return jnp.sqrt(jnp.sum(jnp.square(x)))


def unit(x: Features) -> Features:
    """`x` scaled to Euclidean norm 1; zero stays zero."""
    # Scaled first: squares of gradients below 1e-20 would vanish in float32.
    scaled = x / jnp.maximum(jnp.max(jnp.abs(x)), _TINY)
    return scaled / jnp.maximum(norm2(scaled), _TINY)


def eps_for_snr(
    x: Features | Float[np.ndarray, "*features"], *, snr_db: float, norm: str
) -> Float[Array, ""]:
    """The budget at which a perturbation has the signal-to-noise ratio `snr_db`.

    For "l2" the SNR is exact on the sphere. For "linf" it is reached where every entry
    moves by the whole budget, as in a sign step; other perturbations in the ball have a
    higher SNR.

    Args:
        x: the clean example.
        snr_db: 20 log10(norm(x) / norm(perturbation)).
        norm: "linf" or "l2".
    """
    rms = jnp.sqrt(jnp.mean(jnp.square(jnp.asarray(x, jnp.float32))))
    return _of_rms(rms * 10 ** (-snr_db / 20), x.size, norm)


def eps_for_dbfs(size: int, *, dbfs: float, norm: str) -> Float[Array, ""]:
    """The budget at which a perturbation has the level `dbfs` of full scale (1.0).

    Args:
        size: entries of the example.
        dbfs: 20 log10 of the root mean square; negative below full scale.
        norm: "linf" or "l2"; see `eps_for_snr`.
    """
    return _of_rms(jnp.float32(10 ** (dbfs / 20)), size, norm)


def _of_rms(rms: Float[Array, ""], size: int, norm: str) -> Float[Array, ""]:
    if norm not in ("linf", "l2"):
        raise ValueError(f"norm={norm!r} has no level: use linf or l2")
    return rms * math.sqrt(size) if norm == "l2" else rms
