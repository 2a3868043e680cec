"""Gradients estimated from scores, and the pace of a descent along them."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from advjax.types import Features, Key


def gradient_estimate(
    loss: Callable[[Features], Float[Array, ""]],
    x: Features,
    key: Key,
    *,
    sigma: Float[Array, ""] | float,
    num_samples: int,
    chunk: int | None = None,
) -> tuple[Features, Float[Array, ""]]:
    """A loss's gradient from `num_samples` values around x, and the mean of the values.

    Gaussian directions are probed both ways, and the halved differences weight them.
    For a linear loss in d entries the cosine to the true gradient is about
    1 / sqrt(1 + d / (num_samples / 2)).

    Args:
        loss: of one point; not finite where there is nothing to see.
        x: where.
        key: draws the directions.
        sigma: standard deviation of the probes in each entry.
        num_samples: evaluations of the loss; even.
        chunk: how many at once; None for all.

    Returns:
        The gradient of the loss, which is zero where no pair could be seen, and the
        mean loss of the probes, which then is infinite.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 2.1.
    Differs: the authors' code drops a probe that shows nothing but keeps its partner,
    whose loss is then weighted by loss / sigma instead of a difference: it outweighs
    all pairs, and pushes towards the side on which nothing is seen. Here both go.
    """
    directions = jax.random.normal(key, (num_samples // 2, *x.shape), jnp.float32)
    # A budget of zero leaves sigma zero; differences are then zero as well.
    sigma = jnp.maximum(sigma, _LEAST_SIGMA)
    probes = sigma * directions
    there, back = evaluate(
        loss, jnp.concatenate([x[None] + probes, x[None] - probes]), chunk
    ).reshape(2, -1)
    seen = jnp.isfinite(there) & jnp.isfinite(back)
    num_seen = jnp.maximum(seen.sum(), 1).astype(jnp.float32)
    weights = jnp.where(seen, there - back, 0.0) / (2 * sigma * num_seen)
    mean = jnp.where(seen, there + back, 0.0).sum() / (2 * num_seen)
    return (
        jnp.tensordot(weights, directions, axes=1),
        jnp.where(seen.any(), mean, jnp.inf),
    )


_LEAST_SIGMA = 1e-12


def evaluate(
    f: Callable[[Features], Array],
    points: Float[Array, "points *features"],
    chunk: int | None,
) -> Float[Array, "points *values"]:
    """The function of every point, all at once or `chunk` at a time."""
    if chunk is None or chunk >= len(points):
        return jax.vmap(f)(points)
    return jax.lax.map(f, points, batch_size=chunk)


class Estimates(NamedTuple):
    """The memory of a descent along estimated gradients.

    Attributes:
        gradient: running mean of the estimates.
        rate: length of a step, in units of x.
        losses: of the latest steps, oldest first; infinite where there is none yet.
    """

    gradient: Features
    rate: Float[Array, ""]
    losses: Float[Array, "steps"]


def begin_estimates(
    x: Features, rate: Float[Array, ""], *, plateau_length: int
) -> Estimates:
    """No estimate yet.

    Args:
        x: of the shape of all gradients.
        rate: length of the first step.
        plateau_length: steps over which the loss has to fall.
    """
    return Estimates(
        gradient=jnp.zeros_like(x),
        rate=rate,
        losses=jnp.full(plateau_length, jnp.inf, jnp.float32),
    )


def add_estimate(
    estimates: Estimates,
    gradient: Features,
    loss: Float[Array, ""],
    *,
    momentum: float,
    least: Float[Array, ""],
    drop: float,
) -> Estimates:
    """The estimates with the newest.

    Args:
        estimates: those before.
        gradient: the newest.
        loss: mean of its probes.
        momentum: weight of earlier estimates against the new one.
        least: of the rate.
        drop: by how much the rate is divided on a plateau: a full row of losses whose
            last is above its first. The row then starts anew.
    """
    # An empty place is infinite, and nothing is above it: a row that is not full is
    # no plateau.
    losses = jnp.append(estimates.losses[1:], loss)
    plateau = losses[-1] > losses[0]
    lower = jnp.maximum(estimates.rate / drop, least)
    return Estimates(
        gradient=momentum * estimates.gradient + (1 - momentum) * gradient,
        rate=jnp.where(plateau, lower, estimates.rate),
        losses=jnp.where(plateau, jnp.inf, losses),
    )


def check_estimator(
    *,
    num_samples: int,
    max_queries: int,
    least_queries: int,
    steps: tuple[float, float],
    relative_sigma: float,
    plateau_length: int,
    plateau_drop: float,
    momentum: float,
    chunk: int | None,
) -> None:
    """Refuse options with which no gradient can be estimated and followed.

    Raises:
        ValueError: one of them.
    """
    wrong = {
        f"num_samples={num_samples}: give an even number, at least 2": (
            num_samples < 2 or num_samples % 2
        ),
        f"max_queries={max_queries}: one step needs {least_queries}, for "
        f"num_samples={num_samples}": (max_queries < least_queries),
        f"relative_min_step={steps[0]} and relative_max_step={steps[1]}: give "
        "0 < least <= greatest": (not 0 < steps[0] <= steps[1]),
        f"relative_sigma={relative_sigma}: give more than 0": not relative_sigma > 0,
        f"plateau_length={plateau_length}: give at least 2": plateau_length < 2,
        f"plateau_drop={plateau_drop}: give at least 1": not plateau_drop >= 1,
        f"momentum={momentum}: give 0 <= momentum < 1": not 0 <= momentum < 1,
        f"chunk={chunk}: give at least 1, or None": chunk is not None and chunk < 1,
    }
    for complaint, found in wrong.items():
        if found:
            raise ValueError(complaint)
