"""Gradients from scores alone: natural evolution strategies (NES)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks import oracles
from advjax.attacks.balls import ball
from advjax.attacks.base import Attack, Budget, check_options
from advjax.attacks.objectives import LOSSES, margin
from advjax.types import Bounds, Features, Key, Label, Logits


class NesState(NamedTuple):
    """See `State`; the next gradient is estimated at `current`.

    Attributes:
        gradient: running mean of the estimates.
        rate: length of a step, in units of x.
        losses: of the latest steps, oldest first; infinite where there is none yet.
        best_loss: of `x_adv`.
    """

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]
    current: Features
    key: Key
    step: Int[Array, ""]
    gradient: Features
    rate: Float[Array, ""]
    losses: Float[Array, "steps"]
    best_loss: Float[Array, ""]


def nes(
    *,
    num_samples: int = 50,
    max_queries: int = 10_000,
    relative_sigma: float = 0.02,
    relative_max_step: float = 0.2,
    relative_min_step: float = 1e-3,
    plateau_length: int = 5,
    plateau_drop: float = 2.0,
    momentum: float = 0.9,
    top_k: int | None = None,
    norm: str = "linf",
    loss: str = "cross_entropy",
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
    chunk: int | None = None,
) -> Attack:
    """Descent within the budget along gradients estimated from scores.

    A step asks `num_samples` queries for a gradient and one more to judge the point it
    moved to; `init` asks one to judge `x`. The first point that is adversarial is the
    answer, or else the one with the lowest loss. Probes may lie outside of the ball and
    of `bounds` by a few sigma.

    Args:
        num_samples: queries for one gradient; even, since every direction is probed
            both ways.
        max_queries: never exceeded; what does not suffice for a whole step is left.
        relative_sigma: deviation of a probe in each entry, in budgets ("l2": in
            budgets / sqrt(entries), which is the budget's share of one entry).
        relative_max_step: first length of a step, in budgets.
        relative_min_step: least length of a step, in budgets.
        plateau_length: steps over which the loss has to fall, or the next ones are
            shorter.
        plateau_drop: how many times shorter.
        momentum: weight of earlier estimates against a new one.
        top_k: how many classes' scores the oracle shows; None for all. Pairs of probes
            of which one does not show `y` are dropped, so that a target outside of the
            k best cannot be reached: see `partial_information`.
        norm: "linf" (steps along the sign) or "l2".
        loss: "cross_entropy" of all classes, even where the oracle shows fewer, or
            "margin", which does not vanish for a confident classifier.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.
        chunk: probes evaluated at once, where memory is short; None for all.

    Returns:
        A black-box attack within a fixed budget.

    Raises:
        ValueError: options that cannot run.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 2; constants and the plateau
    rule of the authors' code (limited-blackbox-attacks, attacks.py and main.py).
    Differs: their 1e-3, 1e-2 and 5e-5 for sigma and the steps go with a budget of 0.05;
    here they are shares of it, so that they mean the same for any features, bounds and
    budget. The query that judges a point is counted.
    """
    check_options(
        norm=norm,
        norms=("linf", "l2"),
        bounds=bounds,
        top_k=1 if top_k is None else top_k,
    )
    check_estimator(
        num_samples=num_samples,
        max_queries=max_queries,
        least_queries=num_samples + 2,
        steps=(relative_min_step, relative_max_step),
        relative_sigma=relative_sigma,
        plateau_length=plateau_length,
        plateau_drop=plateau_drop,
        momentum=momentum,
        chunk=chunk,
    )
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
    if loss == "margin" and top_k == 1:
        raise ValueError("a margin needs two classes' scores: give top_k of at least 2")

    def oracle(logits_fn):
        if top_k is None:
            return oracles.scores(logits_fn)
        return oracles.top_k(logits_fn, top_k)

    def lowered(shown: Logits, y: Label) -> Float[Array, ""]:
        # Not objectives.attack_loss: its softmax would be over the shown classes only.
        value = shown[y] if loss == "cross_entropy" else margin(shown, y)
        return -value if targeted else value

    def init(logits_fn, x, y, key, budget):
        shown = oracle(logits_fn)(x)
        done = oracles.is_reached(shown, y, targeted=targeted)
        return NesState(
            x, y, x, budget, done, jnp.int32(1), x, key, jnp.int32(0),
            jnp.zeros_like(x), relative_max_step * budget, no_losses(plateau_length),
            lowered(shown, y),
        )  # fmt: skip

    def step(logits_fn, state):
        see = oracle(logits_fn)
        per_entry = state.x.size**-0.5 if norm == "l2" else 1.0
        estimate, loss_here = gradient_estimate(
            lambda point: lowered(see(point), state.y),
            state.current,
            jax.random.fold_in(state.key, state.step),
            sigma=relative_sigma * per_entry * state.budget,
            num_samples=num_samples,
            chunk=chunk,
        )
        gradient = momentum * state.gradient + (1 - momentum) * estimate
        losses, rate = annealed(
            state.losses, loss_here, state.rate,
            least=relative_min_step * state.budget, drop=plateau_drop,
        )  # fmt: skip
        inside = ball(norm, state.budget)
        moved = state.current - rate * inside.steepest(gradient)
        current = jnp.clip(state.x + inside.project(moved - state.x), *bounds)
        shown = see(current)
        done = oracles.is_reached(shown, state.y, targeted=targeted)
        value = lowered(shown, state.y)
        better = done | (value < state.best_loss)
        return state._replace(
            x_adv=jnp.where(better, current, state.x_adv),
            done=done,
            queries=state.queries + num_samples + 1,
            current=current,
            step=state.step + 1,
            gradient=gradient,
            rate=rate,
            losses=losses,
            best_loss=jnp.where(better, value, state.best_loss),
        )

    return Attack(
        init, step, (max_queries - 1) // (num_samples + 1), norm, bounds, targeted,
        black_box=True,
    )  # fmt: skip


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
        sigma: the probes' deviation in each entry.
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
    there, back = evaluated(
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


def evaluated(
    f: Callable[[Features], Array],
    points: Float[Array, "points *features"],
    chunk: int | None,
) -> Float[Array, "points *values"]:
    """The function of every point, all at once or `chunk` at a time."""
    if chunk is None or chunk >= len(points):
        return jax.vmap(f)(points)
    return jax.lax.map(f, points, batch_size=chunk)


def no_losses(plateau_length: int) -> Float[Array, "steps"]:
    """What `annealed` starts from."""
    return jnp.full(plateau_length, jnp.inf, jnp.float32)


def annealed(
    losses: Float[Array, "steps"],
    loss: Float[Array, ""],
    rate: Float[Array, ""],
    *,
    least: Float[Array, ""],
    drop: float,
) -> tuple[Float[Array, "steps"], Float[Array, ""]]:
    """The losses with the newest, and the rate, divided by `drop` on a plateau.

    A plateau is a full row of losses whose last is above its first; the row then starts
    anew. The rate never falls below `least`.
    """
    # An empty place is infinite, and nothing is above it: a row that is not full is
    # no plateau.
    losses = jnp.append(losses[1:], loss)
    plateau = losses[-1] > losses[0]
    lower = jnp.maximum(rate / drop, least)
    return jnp.where(plateau, jnp.inf, losses), jnp.where(plateau, lower, rate)


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
    """Nothing; refuses options with which no gradient can be estimated and followed.

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
