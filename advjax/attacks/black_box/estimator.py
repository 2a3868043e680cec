"""Gradients estimated from scores, and the step lengths of a descent along them."""

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
    """Estimate a loss's gradient from `num_samples` values around x.

    Gaussian directions are probed both ways, and half the difference weights each. For
    a linear loss in d entries the cosine to the true gradient is about 1 / sqrt(1 + d /
    (num_samples / 2)).

    Args:
        loss: of one point; not finite where the oracle hides it.
        x: the point at which the gradient is estimated.
        key: draws the directions.
        sigma: standard deviation of the probes in each entry.
        num_samples: evaluations of the loss; even.
        chunk: evaluations at once; None for all.

    Returns:
        The gradient of the loss and the mean loss of the probes. If no pair has two
        finite losses, the gradient is zero and the mean infinite.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 2.1.
    Differs: the authors' code drops a hidden probe but keeps its partner, which is then
    weighted by loss / sigma instead of a difference. Such a partner outweighs all pairs
    and pushes towards the side that the oracle hides. Here both are dropped.
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
        jnp.tensordot(weights, directions, axes=1, precision="highest"),
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
    """State of a descent along estimated gradients.

    Attributes:
        gradient: running mean of the estimates.
        rate: length of a step, in units of x.
        losses: of the latest steps, oldest first; infinite before there is a loss.
    """

    gradient: Features
    rate: Float[Array, ""]
    losses: Float[Array, "steps"]


class Estimator(NamedTuple):
    """Options of a descent along estimated gradients; lengths are relative to a budget.

    Attributes:
        num_samples: loss evaluations of one estimate; even.
        relative_sigma: standard deviation of a probe in each entry.
        relative_max_step: first length of a step.
        relative_min_step: least length of a step.
        plateau_length: steps over which the loss has to fall. If its last value is
            above its first, the steps become shorter and the count restarts.
        plateau_drop: divisor of the length on a plateau.
        momentum: weight of earlier estimates against a new one.
        chunk: probes evaluated at once; None for all.
    """

    num_samples: int
    relative_sigma: float
    relative_max_step: float
    relative_min_step: float
    plateau_length: int
    plateau_drop: float
    momentum: float
    chunk: int | None = None

    def check(self, *, max_queries: int, least_queries: int) -> None:
        """Refuse invalid options.

        Args:
            max_queries: of the attack.
            least_queries: of an attack of one step.

        Raises:
            ValueError: an option is out of range; the message names it.
        """
        least, most = self.relative_min_step, self.relative_max_step
        wrong = {
            f"num_samples={self.num_samples}: give an even number, at least 2": (
                self.num_samples < 2 or self.num_samples % 2
            ),
            f"max_queries={max_queries}: one step needs {least_queries}, for "
            f"num_samples={self.num_samples}": max_queries < least_queries,
            f"relative_min_step={least} and relative_max_step={most}: give "
            "0 < least <= greatest": not 0 < least <= most,
            f"relative_sigma={self.relative_sigma}: give more than 0": (
                not self.relative_sigma > 0
            ),
            f"plateau_length={self.plateau_length}: give at least 2": (
                self.plateau_length < 2
            ),
            f"plateau_drop={self.plateau_drop}: give at least 1": (
                not self.plateau_drop >= 1
            ),
            f"momentum={self.momentum}: give 0 <= momentum < 1": (
                not 0 <= self.momentum < 1
            ),
            f"chunk={self.chunk}: give at least 1, or None": (
                self.chunk is not None and self.chunk < 1
            ),
        }
        for complaint, found in wrong.items():
            if found:
                raise ValueError(complaint)

    def begin(self, x: Features, budget: Float[Array, ""]) -> Estimates:
        """The state before the first estimate."""
        return Estimates(
            gradient=jnp.zeros_like(x),
            rate=self.relative_max_step * budget,
            losses=jnp.full(self.plateau_length, jnp.inf, jnp.float32),
        )

    def advance(
        self,
        estimates: Estimates,
        loss: Callable[[Features], Float[Array, ""]],
        x: Features,
        key: Key,
        *,
        budget: Float[Array, ""],
        share: float = 1.0,
    ) -> tuple[Estimates, Float[Array, ""]]:
        """The state with one more estimate, and the mean loss of its probes.

        Args:
            estimates: the state before.
            loss: of one point, see `gradient_estimate`.
            x: the point at which the gradient is estimated.
            key: draws the directions.
            budget: of the attack.
            share: one entry's share of the budget, which scales the probes.
        """
        gradient, mean = gradient_estimate(
            loss,
            x,
            key,
            sigma=self.relative_sigma * share * budget,
            num_samples=self.num_samples,
            chunk=self.chunk,
        )
        return self.add(estimates, gradient, mean, budget), mean

    def add(
        self,
        estimates: Estimates,
        gradient: Features,
        loss: Float[Array, ""],
        budget: Float[Array, ""],
    ) -> Estimates:
        """The state with a new estimate of the gradient and the mean of its losses."""
        # Nothing exceeds infinity, so a row of losses that is not full is no plateau.
        losses = jnp.append(estimates.losses[1:], loss)
        plateau = losses[-1] > losses[0]
        least = self.relative_min_step * budget
        lower = jnp.maximum(estimates.rate / self.plateau_drop, least)
        mean = self.momentum * estimates.gradient + (1 - self.momentum) * gradient
        return Estimates(
            gradient=mean,
            rate=jnp.where(plateau, lower, estimates.rate),
            losses=jnp.where(plateau, jnp.inf, losses),
        )
