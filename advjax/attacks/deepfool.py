"""DeepFool: steps to the nearest decision boundary of the linearised classifier."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.balls import norm2, unit
from advjax.attacks.base import Attack, Common, begin, choose
from advjax.attacks.dither import beside_silence, check_dither
from advjax.attacks.objectives import is_adversarial
from advjax.attacks.options import check_options
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Label, Logits


class Boundary(NamedTuple):
    """A decision boundary of the linearised classifier.

    Attributes:
        normal: the gradient across it.
        distance: from the point of linearisation.
        found: whether a boundary was found.
    """

    normal: Features
    distance: Float[Array, ""]
    found: Bool[Array, ""]


class DeepFoolState(NamedTuple):
    """See `State`; the classifier is linearised at `x_adv`.

    Attributes:
        delta: the sum of all moves, without the overshoot.
        moves: their number.
        rivals: the candidate classes, chosen by the first step.
        looks: candidates whose gradient was computed in this linearisation.
        near: the nearest boundary of these (the farthest, for select="max").
        steepest: the greatest dual norm of a gradient so far.
    """

    common: Common
    delta: Features
    moves: Int[Array, ""]
    rivals: Int[Array, "rivals"]
    looks: Int[Array, ""]
    near: Boundary
    steepest: Float[Array, ""]


@keep_call
def deepfool(
    *,
    norm: str = "l2",
    num_candidates: int | None = 10,
    select: str = "min",
    overshoot: float = 0.02,
    nudge: float = 1e-6,
    max_steps: int = 50,
    pruning: float | None = 2.0,
    dither: float = 0.0,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Move to the nearest boundary of class `y`, again and again until it is crossed.

    A step linearises the classifier and moves to a boundary of the linearisation. The
    result is the first point with another label than `y`. An example that is
    misclassified already is returned unchanged: to leave the classifier's own
    prediction, give that as `y`. Without success `x_adv` is the last point.

    Args:
        norm: "l2" or "linf", the norm of distances to boundaries.
        num_candidates: number of classes considered, `y` among them: those with the
            highest logits of the clean example. None for all.
        select: "min" moves towards the nearest boundary, "max" towards the farthest.
        overshoot: relative excess over the sum of all moves (eta in the paper).
        nudge: excess of every move, relative to the norm of `x` (to 1 at silence),
            which moves a point that is exactly on a boundary. The reference code adds
            1e-4 in units of the input: negligible for an image, but a fifth of the
            perturbation of a quiet recording. This default is 120 dB below the example.
        max_steps: linearisations, at most.
        pruning: candidates are evaluated in the order of their logit gaps, smallest
            first. The evaluation stops where a boundary could only be the nearest if
            its gradient were more than `pruning` times the steepest so far of this
            example. None evaluates all, as select="max" always does. On six ResCNNs of
            speakers, 2 found the nearest boundary of every linearisation and 1.5 that
            of at least 97 %.
        bounds: least and greatest value of an entry.

    Returns:
        An untargeted attack that ignores the budget. `queries` counts forward passes:
        one for each candidate evaluated and one that judges the last move.

    Raises:
        ValueError: invalid options or, when run, fewer than two classes.

    Source: Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, algorithm 2, for linf its
    section 3.3 with p = infinity; 10 classes, overshoot 0.02 and 50 steps: its authors'
    code. select="max": the code of Subramanian et al. 2019 on sound event classifiers,
    which takes the largest distance and never class 0; here class 0 is like any other.
    Differs: `pruning`; entries at a bound are left out of the linear problem instead of
    being clipped after it.
    """
    check_options(norm=norm, norms=("l2", "linf"), bounds=bounds, max_steps=max_steps)
    if num_candidates is not None and num_candidates < 2:
        raise ValueError(f"num_candidates={num_candidates}: give at least 2, or None")
    if select not in ("min", "max"):
        raise ValueError(f"select={select!r}: choose min or max")
    if overshoot < 0 or nudge < 0:
        raise ValueError(f"overshoot={overshoot}, nudge={nudge}: give 0 or more")
    if pruning is not None and not pruning >= 1:
        raise ValueError(f"pruning={pruning}: give at least 1, or None")
    check_dither(dither)
    nearest = select == "min"
    size_of, dual_of, direction_of = _GEOMETRY[norm]
    stretch = 1.0 + overshoot

    def init(logits_fn, x, y, key, budget):
        num_classes = jax.eval_shape(logits_fn, x).size
        if num_classes < 2:
            raise ValueError("a classifier with one class has no boundary: give two")
        num_rivals = min(num_candidates or num_classes, num_classes) - 1
        start = beside_silence(logits_fn, x, key, size=dither, bounds=bounds)
        return DeepFoolState(
            common=begin(x, y, budget)._replace(x_adv=start),
            delta=(start - x) / stretch,
            moves=jnp.int32(0),
            rivals=jnp.zeros(num_rivals, jnp.int32),
            looks=jnp.int32(0),
            near=_nowhere(x),
            steepest=jnp.float32(0),
        )

    def step(logits_fn, state):
        """Compute the boundary to one candidate; after the last one, move.

        Each candidate takes a step and a forward pass of its own. With all candidates
        in one step, every example of a batch would cost as much as the one that needs
        most.
        """
        common = state.common
        x, y = common.x, common.y
        logits, pull = jax.vjp(logits_fn, common.x_adv)
        crossed = is_adversarial(logits, y, targeted=False)
        rivals = jnp.where(
            common.queries == 0,
            _highest_others(logits, y, state.rivals.size),
            state.rivals,
        )
        gaps = jnp.abs(logits[y] - logits[rivals])
        order = jnp.argsort(gaps)
        looked_at = order[state.looks]
        classes = jnp.arange(logits.size)
        row = (classes == rivals[looked_at]).astype(logits.dtype)
        row -= (classes == y).astype(logits.dtype)
        normal = _free(pull(row)[0], common.x_adv, bounds)
        slope = dual_of(normal)
        distance = gaps[looked_at] / slope
        better = distance < state.near.distance
        better = (better if nearest else ~better) | ~state.near.found
        # Zero gradients and classifiers that are not finite give no finite distance.
        near = choose(
            better & jnp.isfinite(distance),
            Boundary(normal=normal, distance=distance, found=jnp.bool_(True)),
            state.near,
        )
        steepest = jnp.fmax(state.steepest, slope)
        looks = state.looks + 1
        last = looks == order.size
        if nearest and pruning is not None:
            # Gaps are in rising order, so the later candidates can be skipped too.
            following = gaps[order[jnp.minimum(looks, order.size - 1)]]
            last |= following > near.distance * pruning * steepest

        size = size_of(x)
        length = near.distance + nudge * jnp.where(size > 0, size, 1.0)
        delta = jnp.clip(
            state.delta + length * direction_of(near.normal),
            (bounds[0] - x) / stretch,
            (bounds[1] - x) / stretch,
        )
        moved = jnp.clip(x + stretch * delta, *bounds)
        stuck = last & (~near.found | ~jnp.isfinite(moved).all())
        moves = last & ~crossed & ~stuck
        num_moves = state.moves + moves.astype(jnp.int32)
        return state._replace(
            common=common._replace(
                x_adv=jnp.where(moves, moved, common.x_adv),
                done=crossed | stuck | (num_moves == max_steps),
                queries=common.queries + 1,
            ),
            delta=jnp.where(moves, delta, state.delta),
            moves=num_moves,
            rivals=rivals,
            looks=jnp.where(last, 0, looks),
            near=choose(last, _nowhere(x), near),
            steepest=steepest,
        )

    # `step` counts the moves itself, because one move takes several steps.
    return Attack(
        init, step, 2**31 - 1, norm, bounds, fixed_budget=False, any_length=True
    )


def _nowhere(x: Features) -> Boundary:
    return Boundary(
        normal=jnp.zeros_like(x), distance=jnp.float32(jnp.inf), found=jnp.bool_(False)
    )


def _highest_others(logits: Logits, y: Label, count: int) -> Int[Array, "rivals"]:
    others = jnp.where(jnp.arange(logits.size) == y, -jnp.inf, logits)
    return jax.lax.top_k(others, count)[1]


def _free(normal: Features, point: Features, bounds: Bounds) -> Features:
    """The gradient, with zeros for entries that a bound keeps from moving along it."""
    low, high = bounds
    held = ((point >= high) & (normal > 0)) | ((point <= low) & (normal < 0))
    return jnp.where(held, 0.0, normal)


def _norm1(x: Features) -> Float[Array, ""]:
    return jnp.sum(jnp.abs(x))


def _peak(x: Features) -> Float[Array, ""]:
    return jnp.max(jnp.abs(x))


def _norm2(x: Features) -> Float[Array, ""]:
    """The Euclidean norm, also of gradients whose squares underflow in float32."""
    peak = _peak(x)
    return peak * norm2(x / jnp.where(peak > 0, peak, 1.0))


# By norm: the size of an example, the dual norm of a gradient, and the direction of
# norm 1 in which the tangent rises fastest.
_GEOMETRY = {"l2": (_norm2, _norm2, unit), "linf": (_peak, _norm1, jnp.sign)}
