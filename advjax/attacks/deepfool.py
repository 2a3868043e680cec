"""DeepFool: the nearest decision boundary, by repeated linearisation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.balls import norm2, unit
from advjax.attacks.base import Attack, Common, begin, check_options, choose
from advjax.attacks.objectives import is_adversarial
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Label, Logits


class Boundary(NamedTuple):
    """A tangent's boundary.

    Attributes:
        normal: the gradient across it.
        distance: from the point of the tangent.
        found: whether there is one yet.
    """

    normal: Features
    distance: Float[Array, ""]
    found: Bool[Array, ""]


class DeepFoolState(NamedTuple):
    """See `State`; `x_adv` is where the linearisation takes place.

    Attributes:
        delta: the sum of all moves, without the overshoot.
        moves: their number.
        rivals: the classes moved towards, chosen by the first step.
        looks: how many of them this linearisation has looked at.
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
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """A small perturbation to the other side of the nearest boundary of class `y`.

    A step replaces the classifier by its tangent and goes to the boundary that this
    has; the first point with another label is the result. `y` is what has to be left,
    so an example that is wrong already is returned as it is: to leave the classifier's
    own prediction, give that as `y`. Without success `x_adv` is the last point.

    Args:
        norm: "l2" or "linf", the norm in which boundaries are near.
        num_candidates: so many classes with the highest logits of the clean example are
            considered, `y` among them; None for all.
        select: "min" moves towards the nearest boundary, "max" towards the farthest.
        overshoot: relative excess over the sum of all moves (eta in the paper).
        nudge: excess of every move, as a share of the norm of `x` (of 1 at silence), so
            that a point exactly on a boundary goes on. The reference code adds 1e-4
            in units of the input, which is nothing for an image and a fifth of the
            perturbation of a quiet recording; this share is 120 dB below the example.
        max_steps: linearisations before giving up.
        pruning: classes are looked at by the gaps of their logits, smallest first, and
            no further than where a boundary could only be the nearest if its gradient
            were so many times as steep as the steepest yet of this example. None looks
            at all of them, as select="max" always does. On six ResCNNs of speakers, 2
            found the nearest boundary of every tangent and 1.5 of 97 % and more.
        bounds: least and greatest value of an entry.

    Returns:
        An untargeted attack that ignores the budget. `queries` counts forward passes,
        one for each class looked at and one that judges the last move.

    Raises:
        ValueError: options that cannot run, or (when run) fewer than two classes.

    Source: Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, algorithm 2, for linf its
    section 3.3 with p = infinity; 10 classes, overshoot 0.02 and 50 steps: its authors'
    code. select="max": the code of Subramanian et al. 2019 on sound event classifiers,
    which takes the largest distance and never class 0; here 0 is like any other class.
    Differs: `pruning`; entries that a bound stops are left out of the linear problem
    instead of being clipped after it.
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
    nearest = select == "min"
    size_of, dual_of, direction_of = _GEOMETRY[norm]
    stretch = 1.0 + overshoot

    def init(logits_fn, x, y, key, budget):
        del key
        num_classes = jax.eval_shape(logits_fn, x).size
        if num_classes < 2:
            raise ValueError("a classifier with one class has no boundary: give two")
        num_rivals = min(num_candidates or num_classes, num_classes) - 1
        return DeepFoolState(
            common=begin(x, y, budget),
            delta=jnp.zeros_like(x),
            moves=jnp.int32(0),
            rivals=jnp.zeros(num_rivals, jnp.int32),
            looks=jnp.int32(0),
            near=_nowhere(x),
            steepest=jnp.float32(0),
        )

    def step(logits_fn, state):
        """One look: the boundary to one class; then a move, if it was the last look.

        An example that needs a second look takes a second step, with a second forward
        pass: all looks in one step would cost every example of a batch as many as the
        one that needs most.
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
            # The gaps rise, so that what holds of one class holds of all after it.
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

    # A state ends by its own count of moves.
    return Attack(init, step, 2**31 - 1, norm, bounds, fixed_budget=False)


def _nowhere(x: Features) -> Boundary:
    return Boundary(
        normal=jnp.zeros_like(x), distance=jnp.float32(jnp.inf), found=jnp.bool_(False)
    )


def _highest_others(logits: Logits, y: Label, count: int) -> Int[Array, "rivals"]:
    others = jnp.where(jnp.arange(logits.size) == y, -jnp.inf, logits)
    return jax.lax.top_k(others, count)[1]


def _free(normal: Features, point: Features, bounds: Bounds) -> Features:
    """The gradient without the entries that a bound keeps from following it."""
    low, high = bounds
    held = ((point >= high) & (normal > 0)) | ((point <= low) & (normal < 0))
    return jnp.where(held, 0.0, normal)


def _norm1(x: Features) -> Float[Array, ""]:
    return jnp.sum(jnp.abs(x))


def _peak(x: Features) -> Float[Array, ""]:
    return jnp.max(jnp.abs(x))


def _norm2(x: Features) -> Float[Array, ""]:
    """The Euclidean norm, also of gradients whose squares vanish in float32."""
    peak = _peak(x)
    return peak * norm2(x / jnp.where(peak > 0, peak, 1.0))


# By norm: the size of an example, the dual norm of a gradient, and the direction of
# norm 1 in which the tangent rises fastest.
_GEOMETRY = {"l2": (_norm2, _norm2, unit), "linf": (_peak, _norm1, jnp.sign)}
