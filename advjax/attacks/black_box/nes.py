"""Gradients from scores alone: natural evolution strategies (NES)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from advjax.attacks.balls import ball
from advjax.attacks.base import Attack, Common, begin, check_options
from advjax.attacks.black_box import oracles
from advjax.attacks.black_box.estimator import (
    Estimates,
    add_estimate,
    begin_estimates,
    check_estimator,
    gradient_estimate,
)
from advjax.attacks.objectives import LOSSES, margin
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Key, Label, Logits


class NesState(NamedTuple):
    """See `State`; the next gradient is estimated at `current`.

    Attributes:
        estimates: the gradients so far.
        best_loss: of `x_adv`.
    """

    common: Common
    current: Features
    key: Key
    step: Int[Array, ""]
    estimates: Estimates
    best_loss: Float[Array, ""]


@keep_call
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
        relative_sigma: standard deviation of a probe in each entry, in budgets ("l2":
            in budgets / sqrt(entries), which is the budget's share of one entry).
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

    def objective(shown: Logits, y: Label) -> Float[Array, ""]:
        # Not objectives.attack_loss: its softmax would be over the shown classes only.
        value = shown[y] if loss == "cross_entropy" else margin(shown, y)
        return -value if targeted else value

    def init(logits_fn, x, y, key, budget):
        shown = oracle(logits_fn)(x)
        done = oracles.is_reached(shown, y, targeted=targeted)
        return NesState(
            common=begin(x, y, budget)._replace(done=done, queries=jnp.int32(1)),
            current=x,
            key=key,
            step=jnp.int32(0),
            estimates=begin_estimates(
                x, relative_max_step * budget, plateau_length=plateau_length
            ),
            best_loss=objective(shown, y),
        )

    def step(logits_fn, state):
        common, see = state.common, oracle(logits_fn)
        x, y, budget = common.x, common.y, common.budget
        per_entry = x.size**-0.5 if norm == "l2" else 1.0
        gradient, loss_here = gradient_estimate(
            lambda point: objective(see(point), y),
            state.current,
            jax.random.fold_in(state.key, state.step),
            sigma=relative_sigma * per_entry * budget,
            num_samples=num_samples,
            chunk=chunk,
        )
        estimates = add_estimate(
            state.estimates,
            gradient,
            loss_here,
            momentum=momentum,
            least=relative_min_step * budget,
            drop=plateau_drop,
        )
        inside = ball(norm, budget)
        moved = state.current - estimates.rate * inside.steepest(estimates.gradient)
        current = jnp.clip(x + inside.project(moved - x), *bounds)
        shown = see(current)
        done = oracles.is_reached(shown, y, targeted=targeted)
        value = objective(shown, y)
        better = done | (value < state.best_loss)
        return state._replace(
            common=common._replace(
                x_adv=jnp.where(better, current, common.x_adv),
                done=done,
                queries=common.queries + num_samples + 1,
            ),
            current=current,
            step=state.step + 1,
            estimates=estimates,
            best_loss=jnp.where(better, value, state.best_loss),
        )

    return Attack(
        init,
        step,
        (max_queries - 1) // (num_samples + 1),
        norm,
        bounds,
        targeted,
        black_box=True,
    )
