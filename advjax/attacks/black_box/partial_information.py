"""Partial-information attack (Ilyas et al. 2018): only the top-k scores are visible."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.black_box import oracles
from advjax.attacks.black_box.estimator import Estimates, Estimator, evaluate
from advjax.attacks.options import check_options
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Key

_NUM_SHRINKS = 8
"""Proposed shrinks of the box, each half the one before: 0.5 down to about 4e-3."""

_LEAST_RESTART = 0.1
"""Least first shrink of the next search, relative to the first box."""


class Box(NamedTuple):
    """The box around x that shrinks to the budget, by its half widths.

    Attributes:
        radius: of the box in which the current point was accepted.
        eps: of the box that the next shrink starts from.
        start_eps: of the first box.
        delta_eps: first shrink that the next search proposes.
    """

    radius: Float[Array, ""]
    eps: Float[Array, ""]
    start_eps: Float[Array, ""]
    delta_eps: Float[Array, ""]


class PartialInformationState(NamedTuple):
    """See `State`; `x_adv` is `x` until the current point is within the budget.

    Attributes:
        current: the current point; the oracle always shows the target there.
        box: the box around `x` that holds it.
        estimates: the estimates so far; their rate is the longest step proposed.
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
    """Move from an example of the target class towards x, keeping the prediction.

    The current point starts as `starts[y]` and stays in a box around `x`. A step
    estimates the gradient of the target's cross-entropy from probes that show the
    target. It then proposes to move against the sign of the gradient and to shrink the
    box, with ever shorter steps and smaller shrinks, until the oracle still shows the
    target. The box shrinks to the budget.

    `x_adv` is `x`, a failure, until the current point is within the budget. The attack
    ends at the first point within the budget that is classified as the target. It takes
    no step if `x` itself is classified as the target, and fails at once if the oracle
    does not show the target at the start.

    Queries are counted as for an attacker who queries the proposals in order and stops
    at the first accepted one. All proposals of a step are evaluated in parallel,
    because a loop would make every example of a batch wait for the longest search;
    results after the accepted one are discarded and not counted.

    Args:
        starts: one clean example per class, of the shape of x.
        num_samples: queries for one gradient; even.
        max_queries: limit of the queries.
        top_k: number of visible classes.
        relative_sigma: standard deviation of a probe in each entry, relative to the
            budget.
        starting_eps: the first box's half width, in units of x; None for the largest
            distance of an entry of the start, so that the box holds the start.
        relative_delta_eps: the first proposed shrink, relative to the first box.
        conservative: the next search's box shrinks by an accepted shrink divided by
            this.
        adv_thresh: loss in nats below which a shrink is proposed. Raise it for a less
            confident classifier, whose box would not shrink.
        relative_max_step: first length of a step, relative to the budget.
        relative_min_step: least length of a step, relative to the budget.
        plateau_length: steps over which the loss has to fall; otherwise the next steps
            are shorter.
        plateau_drop: divisor of the step length on a plateau.
        momentum: weight of earlier estimates against a new one.
        targeted: only True.
        bounds: least and greatest value of an entry.
        chunk: points evaluated at once, to save memory; None for all.

    Returns:
        A targeted black-box attack within a fixed linf budget.

    Raises:
        ValueError: invalid options, or an x of another shape than the starts.

    Source: Ilyas et al. 2018, arXiv:1804.08598, section 3; rules and constants of the
    authors' code (limited-blackbox-attacks, attacks.py, partial-info.sh).
    Differs: that code assumes a box from 1.0 to 0.05 in [0, 1]. Here shrinks are
        relative
    to the first box and steps to the budget, which is the same there. The authors'
    probe sigma of 1e-5 is lost in the rounding of float32 logits; 0.02 budgets are the
    query-limited default of that code. A pair of probes is dropped as one (see
    `gradient_estimate`). No shrink beyond the budget is proposed, and 8 halvings
    replace a least shrink of 2e-3, which is too coarse for small budgets. A search
    without an accepted proposal keeps the current point for a new estimate, where that
    code gives up. The attack ends when the current point is within the budget, not only
    the next box.
    """
    check_options(norm="linf", norms=("linf",), bounds=bounds, top_k=top_k)
    estimator = Estimator(
        num_samples=num_samples,
        relative_sigma=relative_sigma,
        relative_max_step=relative_max_step,
        relative_min_step=relative_min_step,
        plateau_length=plateau_length,
        plateau_drop=plateau_drop,
        momentum=momentum,
        chunk=chunk,
    )
    estimator.check(max_queries=max_queries, least_queries=num_samples + 3)
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
            estimates=estimator.begin(x, budget),
        )

    def proposals(state, loss, estimates):
        """Shrinks, radii, points, and which of them are queried, in query order."""
        budget, box = state.common.budget, state.box
        left = jnp.maximum(box.eps - budget, 0.0)
        largest = jnp.where(loss < adv_thresh, jnp.minimum(box.delta_eps, left), 0.0)
        halves = 0.5 ** jnp.arange(_NUM_SHRINKS, dtype=jnp.float32)
        shrinks = jnp.append(largest * halves, 0.0)
        rates = estimates.rate * 0.5 ** jnp.arange(num_rates, dtype=jnp.float32)
        # The tolerance keeps the last rate despite rounding.
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
        estimates, loss = estimator.advance(
            state.estimates,
            lambda point: -see(point)[y],
            state.current,
            jax.random.fold_in(state.key, state.step),
            budget=budget,
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
    """Refuse options that are invalid for this attack."""
    if not targeted:
        raise ValueError(
            "targeted=False: partial_information starts from an example of the target "
            "class. To leave a label, use nes(top_k=...)"
        )
    for name, value in positive.items():
        if not value > 0:
            raise ValueError(f"{name}={value}: give more than 0")
    if not conservative >= 1:
        raise ValueError(f"conservative={conservative}: give at least 1")
    if not np.isfinite(np.asarray(starts)).all():
        raise ValueError("starts hold NaN or infinity: give clean examples")
