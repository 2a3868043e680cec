"""One run of Adam at one constant, shared by Carlini and Wagner's three attacks.

All three minimise `size(perturbation) + c * hinge`, run by run. They differ in the size
and in how the outcome of a run sets up the next one. The next run starts within the
last step of the one before, which saves a forward pass.

Source: Carlini and Wagner 2017, arXiv:1608.04644, sections V and VI; constants of the
authors' code, carlini/nn_robust_attacks.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.objectives import is_adversarial, margin
from advjax.optimisers import with_dtype_promotion
from advjax.padding import Own, own
from advjax.types import Bounds, Features, Label, LogitsFn

Scalar = Float[Array, ""]


class Options(NamedTuple):
    """The checked options of `carlini_wagner`."""

    num_searches: int
    num_steps: int
    learning_rate: float | None
    initial_c: float
    mean_square: bool
    confidence: float
    probability: float | None
    abort_early: bool
    targeted: bool
    bounds: Bounds
    variables: "Variables"


class Variables(NamedTuple):
    """The variables that Adam moves instead of the example itself.

    Attributes:
        encode: an example to its variables.
        decode: variables to an example inside the bounds.
        pull: (variables, gradient at the example) to the gradient at the variables.
        project: variables after a step of Adam to allowed ones.
        width: largest change of an entry, in its units, when its variable moves by 1.
    """

    encode: Callable[[Features], Features]
    decode: Callable[[Features], Features]
    pull: Callable[[Features, Features], Features]
    project: Callable[[Features], Features]
    width: float


def variables(bounds: Bounds, change_of_variables: str) -> Variables:
    """The tanh of the paper, or the entries themselves, projected after each step.

    Args:
        bounds: least and greatest value of an entry.
        change_of_variables: "tanh", "none", or "auto" for tanh where bounds are finite.

    Raises:
        ValueError: an unknown change of variables, or tanh where a bound is infinite.
    """
    if change_of_variables not in ("auto", "tanh", "none"):
        raise ValueError(
            f"change_of_variables={change_of_variables!r}: choose auto, tanh or none"
        )
    finite = all(math.isfinite(bound) for bound in bounds)
    if change_of_variables == "tanh" and not finite:
        raise ValueError(f"tanh cannot reach bounds={bounds}: give finite ones or auto")
    if change_of_variables == "none" or not finite:
        return Variables(
            encode=lambda x: jnp.clip(x, *bounds),
            decode=lambda w: w,
            pull=lambda w, gradient: gradient,
            project=lambda w: jnp.clip(w, *bounds),
            width=1.0,
        )
    half, middle = (bounds[1] - bounds[0]) / 2, (bounds[1] + bounds[0]) / 2
    return Variables(
        encode=lambda x: jnp.arctanh(jnp.clip((x - middle) / half, -1, 1) * _INSIDE),
        decode=lambda w: jnp.clip(middle + half * jnp.tanh(w), *bounds),
        pull=lambda w, gradient: gradient * half * (1 - jnp.square(jnp.tanh(w))),
        project=lambda w: w,
        width=half,
    )


_INSIDE = 0.999999
"""Keeps entries at the bounds where arctanh is finite (the authors' code)."""


class Verdict(NamedTuple):
    """Result of one forward and one backward pass at a point.

    Attributes:
        gap: distance of the margin, in logits, to the goal, confidence included. The
            paper's hinge is its positive part, up to a constant.
        hit: whether the point is adversarial by the required confidence or probability.
        slope: the gradient of `gap`, without the hinge.
        own: the entries of the point without padding.
    """

    gap: Scalar
    hit: Bool[Array, ""]
    slope: Features
    own: Own


def judge(logits_fn: LogitsFn, point: Features, y: Label, options: Options) -> Verdict:
    """The gap at a point, whether the point is a success, and the gap's gradient."""
    sign = -1.0 if options.targeted else 1.0
    logits, pull = jax.vjp(logits_fn, point)
    ahead, cotangent = jax.value_and_grad(margin)(logits, y)
    gap = sign * ahead + options.confidence
    sure = gap <= 0
    if options.probability is not None:
        share = jax.nn.softmax(logits)[y]
        reached = share >= options.probability
        sure = reached if options.targeted else share < options.probability
    hit = sure & is_adversarial(logits, y, targeted=options.targeted)
    slope = pull(sign * cotangent)[0]
    return Verdict(gap=gap, hit=hit, slope=slope, own=own(logits_fn))


def learning_rate(
    at: Verdict, first: Bool[Array, ""], before: Scalar, options: Options
) -> Scalar:
    """The learning rate in units of the variables: given, or scaled at the first pass.

    Args:
        at: the current pass; the point of the first pass is the example.
        first: whether this is the first pass.
        before: the learning rate of the previous pass.
        options: the attack's.
    """
    if options.learning_rate is not None:
        return jnp.float32(options.learning_rate)
    # Scaled first: squares of gradients below 1e-20 would vanish in float32.
    peak = jnp.max(jnp.abs(at.slope))
    squares = jnp.square(at.slope / jnp.where(peak > 0, peak, 1))
    rms, entries = peak * jnp.sqrt(at.own.mean(squares)), at.own.count(at.slope)
    # The boundary of the tangent is gap / (rms * sqrt(entries)) away, and a step of all
    # entries is sqrt(entries) long; for linf it is at least gap / (rms * entries).
    scaled = _OF_DISTANCE * at.gap / (rms * entries) / options.variables.width
    usable = jnp.isfinite(scaled) & (scaled > 0)
    scaled = jnp.where(usable, jnp.minimum(scaled, _LARGEST_RATE), _LARGEST_RATE)
    return jnp.where(first, scaled, before)


_OF_DISTANCE = 0.2
_LARGEST_RATE = 1e-2
"""The authors' rate, used also where the first gradient vanishes or overflows."""


class Descent(NamedTuple):
    """State of one run of Adam.

    Attributes:
        w: the variables at which the next gradient is taken.
        moments: Adam's.
        step: gradients taken.
        reference: the loss at the last check for an early abort.
    """

    w: Features
    moments: optax.OptState
    step: Int[Array, ""]
    reference: Scalar


def begin(w: Features) -> Descent:
    """A new run that starts at the variables `w`."""
    return Descent(
        w=w,
        moments=_ADAM.init(w),
        step=jnp.int32(0),
        reference=jnp.float32(jnp.inf),
    )


def restart(descent: Descent) -> Descent:
    """The next run, with the point and the moments of the last one."""
    return descent._replace(step=jnp.int32(0), reference=jnp.float32(jnp.inf))


def descend(
    descent: Descent,
    loss: Scalar,
    gradient: Features,
    rate: float | Scalar,
    options: Options,
) -> tuple[Descent, Bool[Array, ""]]:
    """Take one step of the run; also return whether it was the last.

    A run is aborted if its loss has not fallen by 0.01 % over a tenth of its steps.

    Args:
        descent: the run.
        loss: the objective at the run's point.
        gradient: the objective's gradient there, in the units of the example.
        rate: the learning rate.
        options: the attack's.
    """
    w = descent.w
    gradient = options.variables.pull(w, gradient)
    update, moments = _ADAM.update(gradient, descent.moments)
    moved = options.variables.project(w - rate * update)
    step = descent.step + 1
    over = step >= options.num_steps
    looks = descent.step % max(1, options.num_steps // 10) == 0
    if options.abort_early:
        over |= looks & (loss > 0.9999 * descent.reference)
    reference = jnp.where(looks, loss, descent.reference)
    after = Descent(w=moved, moments=moments, step=step, reference=reference)
    return after, over


_ADAM = with_dtype_promotion(optax.scale_by_adam())
