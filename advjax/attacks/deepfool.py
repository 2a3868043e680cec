"""The nearest decision boundary, by repeated linearisation."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.balls import norm2, unit
from advjax.attacks.base import Attack, Budget, check_options
from advjax.attacks.objectives import is_adversarial
from advjax.types import Bounds, Features, Label, Logits


class DeepFoolState(NamedTuple):
    """See `State`; `x_adv` is where the next linearisation takes place.

    Attributes:
        delta: the sum of all moves, without the overshoot.
        rivals: the classes moved towards, chosen by the first step.
    """

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]
    delta: Features
    rivals: Int[Array, "rivals"]


def deepfool(
    *,
    norm: str = "l2",
    num_candidates: int | None = 10,
    select: str = "min",
    overshoot: float = 0.02,
    nudge: float = 1e-6,
    max_steps: int = 50,
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
            considered, `y` among them; None for all. A step holds one gradient the size
            of `x` for each but `y`.
        select: "min" moves towards the nearest boundary, "max" towards the farthest.
        overshoot: relative excess over the sum of all moves (eta in the paper).
        nudge: excess of every move, as a share of the norm of `x` (of 1 at silence), so
            that a point exactly on a boundary goes on. The reference code adds 1e-4
            in units of the input, which is nothing for an image and a fifth of the
            perturbation of a quiet recording; this share is 120 dB below the example.
        max_steps: linearisations before giving up.
        bounds: least and greatest value of an entry.

    Returns:
        An untargeted attack that ignores the budget. `queries` counts two a step: a
        forward pass with the pull-backs of all classes through it, and the one that
        judges the move.

    Raises:
        ValueError: options that cannot run, or (when run) fewer than two classes.

    Source: Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, algorithm 2, for linf its
    section 3.3 with p = infinity; 10 classes, overshoot 0.02 and 50 steps: its authors'
    code. select="max": the code of Subramanian et al. 2019 on sound event classifiers,
    which takes the largest distance and never class 0; here 0 is like any other class.
    Differs: entries that a bound stops are left out of the linear problem instead of
    being clipped after it.
    """
    check_options(norm=norm, norms=("l2", "linf"), bounds=bounds, max_steps=max_steps)
    if num_candidates is not None and num_candidates < 2:
        raise ValueError(f"num_candidates={num_candidates}: give at least 2, or None")
    if select not in ("min", "max"):
        raise ValueError(f"select={select!r}: choose min or max")
    if overshoot < 0 or nudge < 0:
        raise ValueError(f"overshoot={overshoot}, nudge={nudge}: give 0 or more")
    size_of, dual_of, steepest = _GEOMETRY[norm]
    stretch = 1.0 + overshoot

    def init(logits_fn, x, y, key, budget):
        del key
        num_classes = jax.eval_shape(logits_fn, x).size
        if num_classes < 2:
            raise ValueError("a classifier with one class has no boundary: give two")
        num_rivals = min(num_candidates or num_classes, num_classes) - 1
        return DeepFoolState(
            x, y, x, budget, jnp.bool_(False), jnp.int32(0),
            jnp.zeros_like(x), jnp.zeros(num_rivals, jnp.int32),
        )  # fmt: skip

    def step(logits_fn, state):
        logits, pull = jax.vjp(logits_fn, state.x_adv)
        rivals = jnp.where(
            state.queries == 0,
            _highest_others(logits, state.y, state.rivals.size),
            state.rivals,
        )
        classes = jnp.arange(logits.size)[None, :]
        # The rows pick out differences of logits, whose gradients one vmap pulls back
        # through the one forward pass.
        differences = (classes == rivals[:, None]).astype(logits.dtype) - (
            classes == state.y
        ).astype(logits.dtype)
        normals = jax.vmap(lambda row: _free(pull(row)[0], state.x_adv, bounds))(
            differences
        )
        # Zero gradients and classifiers that are not finite give no finite distance.
        distances = jnp.abs(logits[state.y] - logits[rivals]) / jax.vmap(dual_of)(
            normals
        )
        usable = jnp.isfinite(distances)
        if select == "min":
            chosen = jnp.where(usable, distances, jnp.inf).argmin()
        else:
            chosen = jnp.where(usable, distances, -jnp.inf).argmax()
        size = size_of(state.x)
        length = distances[chosen] + nudge * jnp.where(size > 0, size, 1.0)
        delta = jnp.clip(
            state.delta + length * steepest(normals[chosen]),
            (bounds[0] - state.x) / stretch,
            (bounds[1] - state.x) / stretch,
        )
        moved = jnp.clip(state.x + stretch * delta, *bounds)
        left = is_adversarial(logits, state.y, targeted=False)
        stays = left | ~usable.any() | ~jnp.isfinite(moved).all()
        x_adv = jnp.where(stays, state.x_adv, moved)
        # One more forward pass: to leave the verdict to the next step would cost that
        # step's gradients for all classes.
        crossed = is_adversarial(logits_fn(x_adv), state.y, targeted=False)
        return state._replace(
            x_adv=x_adv,
            delta=jnp.where(stays, state.delta, delta),
            done=stays | crossed,
            queries=state.queries + 2,
            rivals=rivals,
        )

    return Attack(init, step, max_steps, norm, bounds, fixed_budget=False)


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
