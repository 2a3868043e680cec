"""Partial-information attack (Ilyas et al. 2018): only the top-k scores are visible."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.attacks.base import Attack, Common, begin, check_options
from advjax.attacks.black_box import oracles
from advjax.attacks.black_box.estimator import (
    Estimates,
    add_estimate,
    begin_estimates,
    check_estimator,
    evaluate,
    gradient_estimate,
)
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Key

_NUM_SHRINKS = 8
"""Proposed shrinks of the box, each half the one before: 0.5 to the last above 2e-3."""

_LEAST_RESTART = 0.1
"""Least share of the first box by which the next search starts to shrink it."""


class Box(NamedTuple):
    """The box around x that shrinks to the budget, by its half widths.

    Attributes:
        radius: of the box in which the iterate was accepted.
        eps: of the box from which the next one is made.
        start_eps: of the first box.
        delta_eps: by how much the next search first proposes to shrink the box.
    """

    radius: Float[Array, ""]
    eps: Float[Array, ""]
    start_eps: Float[Array, ""]
    delta_eps: Float[Array, ""]


class PartialInformationState(NamedTuple):
    """See `State`; `x_adv` is `x` until the iterate is within the budget.

    Attributes:
        current: the iterate, always shown as its target by the oracle.
        box: where it lies.
        estimates: the gradients so far; their rate is the longest step proposed.
    """

    common: Common
    current: Features
    box: Box
    key: Key
    step: Int[Array, ""]
    estimates: Estimates


@keep_call
def partial_information(
    *,
    starts: Float[Array | np.ndarray, "classes *features"],
    num_samples: int = 100,
    max_queries: int = 100_000,
    top_k: int = 1,
    relative_sigma: float = 0.02,
    starting_eps: float | None = None,
    relative_delta_eps: float = 0.5,
    conservative: float = 2.0,
    adv_thresh: float = 0.2,
    relative_max_step: float = 0.2,
    relative_min_step: float = 0.02,
    plateau_length: int = 20,
    plateau_drop: float = 2.0,
    momentum: float = 0.9,
    targeted: bool = True,
    bounds: Bounds = (-1.0, 1.0),
    chunk: int | None = None,
) -> Attack:
    """From a clip of the target class towards x, which it stays classified as.

    The iterate starts as `starts[y]` and lives in a box around `x`. A step estimates
    the gradient of the target's cross entropy from probes that show the target, then
    proposes the iterate moved against its sign, in the box or in a smaller one, with
    ever shorter steps and lesser shrinks, until the oracle still shows the target. The
    box shrinks until it is the budget's.

    `x_adv` is `x`, a failure, until the iterate lies within the budget: a point of the
    target class outside of it is no adversarial example. It ends at the first point
    within that is classified as the target, without a step where `x` itself is, and
    without success where the oracle does not show the target at the start.

    Queries are those of an attacker who asks the proposals in their order and stops at
    the first that is accepted. All of a step's proposals are evaluated side by side,
    since a loop would make every example of a batch wait for the longest search; those
    after the accepted one are thrown away unseen and not counted.

    Args:
        starts: one clean example a class, of the shape of x.
        num_samples: queries for one gradient; even.
        max_queries: never exceeded.
        top_k: how many classes the oracle shows.
        relative_sigma: standard deviation of a probe in each entry, in budgets.
        starting_eps: the first box's half width, in units of x; None for the largest
            distance of an entry of the start, so that the start is in it.
        relative_delta_eps: the first shrink that is proposed, in first boxes.
        conservative: an accepted shrink is carried over divided by this.
        adv_thresh: loss in nats below which a shrink is proposed. Raise it for a
            classifier that is never as sure of anything: its box would not shrink.
        relative_max_step: first length of a step, in budgets.
        relative_min_step: least length of a step, in budgets.
        plateau_length: steps over which the loss has to fall, or the next ones are
            shorter.
        plateau_drop: how many times shorter.
        momentum: weight of earlier estimates against a new one.
        targeted: only True.
        bounds: least and greatest value of an entry.
        chunk: points evaluated at once, where memory is short; None for all.

    Returns:
        A targeted black-box attack within a fixed linf budget.

    Raises:
        ValueError: options that cannot run; an x of another shape than the starts.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 3; the rules and constants of
    the authors' code (limited-blackbox-attacks, attacks.py, partial-info.sh).
    Differs: that code assumes a box from 1.0 to 0.05 in [0, 1]. Here shrinks are shares
    of the first box and steps of the budget, which is the same there. A probe's sigma
    of 1e-5 is lost in the rounding of float32 logits; 0.02 budgets are that code's own
    query-limited default. A pair of probes is dropped as one (see `gradient_estimate`).
    No shrink beyond the goal is proposed, and 8 halvings replace a least one of 2e-3,
    which would be too coarse for small budgets. A search without a proposal accepted
    keeps the iterate for a new estimate, where that code gives up. The attack ends when
    the iterate, and not only the box carried over, is within the budget.
    """
    check_options(norm="linf", norms=("linf",), bounds=bounds, top_k=top_k)
    check_estimator(
        num_samples=num_samples,
        max_queries=max_queries,
        least_queries=num_samples + 3,
        steps=(relative_min_step, relative_max_step),
        relative_sigma=relative_sigma,
        plateau_length=plateau_length,
        plateau_drop=plateau_drop,
        momentum=momentum,
        chunk=chunk,
    )
    _check(
        starts=starts,
        targeted=targeted,
        conservative=conservative,
        starting_eps=1.0 if starting_eps is None else starting_eps,
        relative_delta_eps=relative_delta_eps,
        adv_thresh=adv_thresh,
    )
    starts = np.asarray(starts, np.float32)
    num_rates = 1 + math.floor(math.log2(relative_max_step / relative_min_step) + 1e-6)

    def shows(shown, y):
        return jnp.isfinite(shown[y])

    def clip_to_box(point, x, eps):
        return jnp.clip(x + jnp.clip(point - x, -eps, eps), *bounds)

    def init(logits_fn, x, y, key, budget):
        if starts.shape[1:] != x.shape:
            raise ValueError(
                f"starts are of shape {starts.shape[1:]} and x of {x.shape}: give one "
                "start a class, at the stage that is attacked"
            )
        see = oracles.top_k(logits_fn, top_k)
        start = jnp.clip(jnp.asarray(starts)[y], *bounds)
        distance = jnp.max(jnp.abs(start - x))
        eps = distance if starting_eps is None else jnp.float32(starting_eps)
        start = clip_to_box(start, x, eps)
        reached = oracles.is_reached(see(x), y, targeted=True)
        shown = see(start)
        current = jnp.where(reached, x, start)
        radius = jnp.where(reached, 0.0, jnp.minimum(eps, distance))
        within = radius <= budget
        ended = within & oracles.is_reached(shown, y, targeted=True)
        lost = ~shows(shown, y)
        return PartialInformationState(
            common=begin(x, y, budget)._replace(
                x_adv=jnp.where(within & ~lost, current, x),
                done=reached | ended | lost,
                queries=jnp.where(reached, jnp.int32(1), jnp.int32(2)),
            ),
            current=current,
            box=Box(
                radius=radius,
                eps=eps,
                start_eps=eps,
                delta_eps=relative_delta_eps * eps,
            ),
            key=key,
            step=jnp.int32(0),
            estimates=begin_estimates(
                x, relative_max_step * budget, plateau_length=plateau_length
            ),
        )

    def proposals(state, loss, estimates):
        """Shrinks, points, and which of them are asked, all in the order asked."""
        budget, box = state.common.budget, state.box
        left = jnp.maximum(box.eps - budget, 0.0)
        largest = jnp.where(loss < adv_thresh, jnp.minimum(box.delta_eps, left), 0.0)
        halves = 0.5 ** jnp.arange(_NUM_SHRINKS, dtype=jnp.float32)
        shrinks = jnp.append(largest * halves, 0.0)
        rates = estimates.rate * 0.5 ** jnp.arange(num_rates, dtype=jnp.float32)
        # Rounding must not cost the last one its place.
        asked_rates = rates >= 0.99 * relative_min_step * budget
        asked_shrinks = jnp.append(shrinks[:-1] > 0, True)
        asked = (asked_shrinks[:, None] & asked_rates[None]).ravel()
        shrinks = jnp.repeat(shrinks, num_rates)
        rates = jnp.tile(rates, _NUM_SHRINKS + 1)
        radii = jnp.maximum(box.eps - shrinks, budget)
        move = jnp.sign(estimates.gradient)
        points = jax.vmap(
            lambda rate, radius: clip_to_box(
                state.current - rate * move, state.common.x, radius
            )
        )(rates, radii)
        return shrinks, radii, points, asked

    def step(logits_fn, state):
        common, box = state.common, state.box
        x, y, budget = common.x, common.y, common.budget
        see = oracles.top_k(logits_fn, top_k)
        gradient, loss = gradient_estimate(
            lambda point: -see(point)[y],
            state.current,
            jax.random.fold_in(state.key, state.step),
            sigma=relative_sigma * budget,
            num_samples=num_samples,
            chunk=chunk,
        )
        estimates = add_estimate(
            state.estimates,
            gradient,
            loss,
            momentum=momentum,
            least=relative_min_step * budget,
            drop=plateau_drop,
        )
        shrinks, radii, points, asked = proposals(state, loss, estimates)
        shown = evaluate(see, points, chunk)
        number = jnp.cumsum(asked, dtype=jnp.int32)
        affordable = max_queries - common.queries - num_samples
        accepted = asked & (number <= affordable) & jnp.isfinite(shown[:, y])
        found = accepted.any()
        first = accepted.argmax()
        queries = jnp.where(found, number[first], jnp.minimum(number[-1], affordable))
        queries = common.queries + num_samples + queries

        def accept(new, old):
            return jnp.where(found, new, old)

        current = accept(points[first], state.current)
        radius = accept(radii[first], box.radius)
        within = radius <= budget
        shrink = shrinks[first]
        shrunk = found & (shrink > 0)
        carried = jnp.maximum(box.eps - shrink / conservative, budget)
        least = min(_LEAST_RESTART, relative_delta_eps) * box.start_eps
        reached = found & oracles.is_reached(shown[first], y, targeted=True)
        return state._replace(
            common=common._replace(
                x_adv=jnp.where(within, current, x),
                done=(within & reached) | (queries + num_samples + 1 > max_queries),
                queries=queries,
            ),
            current=current,
            box=box._replace(
                radius=radius,
                eps=accept(jnp.where(within, budget, carried), box.eps),
                delta_eps=jnp.where(shrunk, jnp.maximum(shrink, least), box.delta_eps),
            ),
            step=state.step + 1,
            estimates=estimates._replace(
                losses=jnp.where(shrunk, jnp.inf, estimates.losses)
            ),
        )

    return Attack(
        init,
        step,
        (max_queries - 2) // (num_samples + 1),
        "linf",
        bounds,
        targeted=True,
        black_box=True,
    )


def _check(*, starts, targeted, conservative, **positive: float) -> None:
    """Refuse options that this attack alone cannot run with."""
    if not targeted:
        raise ValueError(
            "targeted=False: partial information starts from a clip of the class to "
            "reach, so there must be one; use nes(top_k=...) to leave a label"
        )
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name}={value}: give more than 0")
    if not conservative >= 1:
        raise ValueError(f"conservative={conservative}: give at least 1")
    if not np.isfinite(np.asarray(starts)).all():
        raise ValueError("starts hold NaN or infinity: give clean examples")
