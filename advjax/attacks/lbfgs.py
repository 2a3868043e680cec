"""The box-constrained L-BFGS attack."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.base import Attack, Common, begin, choose
from advjax.attacks.dither import beside_silence, check_dither
from advjax.attacks.objectives import cross_entropy, is_adversarial
from advjax.attacks.options import check_options
from advjax.attacks.search import Search, advance_search, begin_search
from advjax.optimisers import with_dtype_promotion
from advjax.reprs import keep_call
from advjax.types import Bounds, Features, Label, Logits


class Iterate(NamedTuple):
    """A point with the results of one forward and one backward pass.

    Attributes:
        point: the point.
        loss: the network's loss there, without c.
        slope: the gradient of `loss`.
        hit: whether `point` is adversarial.
    """

    point: Features
    loss: Float[Array, ""]
    slope: Features
    hit: Bool[Array, ""]


class LbfgsState(NamedTuple):
    """See `State`.

    Attributes:
        current: the last accepted iterate.
        direction: the search direction.
        length: length of the next step, as a multiple of `direction`.
        memory: the optimiser's pairs of changes.
        step: evaluations at this c.
        search: the search for c.
        best: the squared distance of `x_adv`; infinite before the first success.
    """

    common: Common
    current: Iterate
    direction: Features
    length: Float[Array, ""]
    memory: optax.OptState
    step: Int[Array, ""]
    search: Search
    best: Float[Array, ""]


@keep_call
def lbfgs(
    *,
    num_searches: int = 12,
    num_steps: int = 200,
    initial_c: float = 1e-2,
    memory_size: int = 10,
    dither: float = 0.0,
    targeted: bool = False,
    bounds: Bounds = (-1.0, 1.0),
) -> Attack:
    """Minimise the squared l2 norm plus c times a loss, by L-BFGS.

    The loss is the cross-entropy of the target. Without a target it is that of all
    other classes together, -log(1 - probability of the label). For two classes both are
    the same and, unlike minus the label's cross-entropy, this loss vanishes beyond the
    boundary. c grows tenfold until the minimum is adversarial. From then on it is the
    geometric mean of the greatest c that failed and the least that succeeded. The
    nearest adversarial point of all evaluations is kept. An example that is adversarial
    already is returned unchanged after one pass.

    Args:
        num_searches: values of c.
        num_steps: evaluations at one c, at most, rejected ones included.
        initial_c: the first c.
        memory_size: pairs of changes that model the curvature.
        dither: entries that are exactly zero start from uniform noise of at most this
            size, which counts as a part of the perturbation: a front end of levels in
            decibels may have no gradient in digital silence. 2**-15 is one step of a
            file of 16 bits.
        targeted: reach `y` instead of leaving it.
        bounds: least and greatest value of an entry.

    Returns:
        An attack that searches for the smallest perturbation. A step is one evaluation
        of loss and gradient together, counted as one query.

    Raises:
        ValueError: invalid options.

    Source: Szegedy et al. 2014, arXiv:1312.6199, section 4.1. First c 0.01: cleverhans;
        ten
    pairs: SciPy; 200 iterations, the squared distance and tenfold growth of c: code of
        the
    authors of Subramanian et al. 2019, arXiv:1907.02477. Twelve searches: ours, which
    leaves c within a few percent after four or five of growth. Differs from L-BFGS-B
    (Byrd et al. 1995): entries at a bound that the gradient presses against are fixed,
    and steps are clipped, instead of a search for the Cauchy point. Backtracking to
    sufficient decrease replaces a Wolfe search; negative curvature is replaced by that
    of the squared distance alone. Every c starts from the last one's minimum, whose
    gradient is known.
    """
    check_options(
        norm="l2",
        norms=("l2",),
        bounds=bounds,
        num_searches=num_searches,
        num_steps=num_steps,
        memory_size=memory_size,
    )
    if not initial_c > 0:
        raise ValueError(f"initial_c={initial_c}: give a positive number")
    check_dither(dither)
    optimiser = with_dtype_promotion(optax.scale_by_lbfgs(memory_size))

    def init(logits_fn, x, y, key, budget):
        start = beside_silence(logits_fn, x, key, size=dither, bounds=bounds)
        zero, infinite = jnp.zeros(x.shape, jnp.float32), jnp.float32(jnp.inf)
        return LbfgsState(
            common=begin(x, y, budget),
            current=Iterate(
                point=start, loss=infinite, slope=zero, hit=jnp.bool_(False)
            ),
            direction=zero,
            length=jnp.float32(1),
            memory=_without_weak_types(optimiser.init(start)),
            step=jnp.int32(0),
            search=begin_search(initial_c),
            best=infinite,
        )

    def evaluate(logits_fn, point, y):
        logits, pull = jax.vjp(logits_fn, point)
        loss, cotangent = jax.value_and_grad(_loss)(logits, y, targeted)
        hit = is_adversarial(logits, y, targeted=targeted)
        return Iterate(point=point, loss=loss, slope=pull(cotangent)[0], hit=hit)

    def towards_minimum(memory, base, gradient, before):
        """The search direction at `base`, and the memory with its pair of changes."""
        change = base - memory.params
        bend = _curvature(change, gradient - before)
        held = (base <= bounds[0]) & (gradient > 0)
        held |= (base >= bounds[1]) & (gradient < 0)
        free = jnp.where(held, 0, gradient)
        # The optimiser forms the difference itself, from the last gradient it stored.
        memory = memory._replace(updates=free - bend)
        uphill, memory = optimiser.update(free, memory, base)
        return jnp.where(held, 0, -uphill), _without_weak_types(memory)

    def step(logits_fn, state):
        common, before, search = state.common, state.current, state.search
        x, first = common.x, common.queries == 0
        point = jnp.clip(before.point + state.length * state.direction, *bounds)
        at = evaluate(logits_fn, jnp.where(first, before.point, point), common.y)
        distance = jnp.sum(jnp.square(at.point - x))
        better = at.hit & (distance < state.best)

        here = before.point - x
        value_here = search.c * before.loss + jnp.sum(jnp.square(here))
        gradient_here = search.c * before.slope + 2 * here
        value = search.c * at.loss + distance
        foreseen = jnp.sum(gradient_here * (at.point - before.point))
        slack = _TOLERANCE * value_here
        accepted = first | (value <= value_here + _ARMIJO * foreseen + slack / 100)
        settled = accepted & ~first & (value_here - value <= slack)
        length = jnp.where(accepted, 1, state.length / 2)
        over = settled | (length < _SHORTEST) | (state.step + 1 >= num_steps)

        current = choose(accepted, at, before)
        search = advance_search(search, over=over, found=current.hit)
        # The excess distance depends on the ratio of c to the best c.
        between = over & (search.low > 0) & (search.high < jnp.inf)
        middle = jnp.sqrt(search.low * search.high)
        search = search._replace(c=jnp.where(between, middle, search.c))
        memory = choose(over, _without_weak_types(optimiser.init(x)), state.memory)
        gradient = search.c * current.slope + 2 * (current.point - x)
        turned = towards_minimum(memory, current.point, gradient, gradient_here)
        direction, memory = choose(
            accepted | over, turned, (state.direction, state.memory)
        )
        return LbfgsState(
            common=common._replace(
                x_adv=jnp.where(better, at.point, common.x_adv),
                done=(first & at.hit) | (search.num_runs >= num_searches),
                queries=common.queries + 1,
            ),
            current=current,
            direction=direction,
            length=jnp.where(over, 1, length),
            memory=memory,
            step=jnp.where(over, 0, state.step + 1),
            search=search,
            best=jnp.where(better, distance, state.best),
        )

    return Attack(
        init,
        step,
        num_searches * num_steps,
        "l2",
        bounds,
        targeted,
        fixed_budget=False,
        any_length=True,
    )


_ARMIJO = 1e-4
"""The usual share of the predicted decrease (Nocedal and Wright 2006, chapter 3)."""

_TOLERANCE = 1e-4
"""Relative decrease at which a minimum is reached: 100 times the resolution of float32.
At 1e-6 decisions depend on rounding, and so on how a batch is split."""

_SHORTEST = 2.0**-20
"""Least multiple of a direction. The first direction has at most the norm 1, and a
classifier of levels down to -160 dB bends within a ten-thousandth of that."""

_LEAST_CURVATURE = 1e-3
"""Relative to the curvature 2 of the squared distance. A pair of changes with less
curvature is not used."""


def _curvature(change, bend):
    """The gradient's change, or the squared distance's if its curvature is small."""
    enough = _LEAST_CURVATURE * 2 * jnp.sum(jnp.square(change))
    return jnp.where(jnp.sum(change * bend) > enough, bend, 2 * change)


def _loss(logits: Logits, y: Label, targeted: bool) -> Float[Array, ""]:
    if targeted:
        return cross_entropy(logits, y)
    others = jnp.where(jnp.arange(logits.size) == y, -jnp.inf, logits)
    return jax.nn.logsumexp(logits) - jax.nn.logsumexp(others)


def _without_weak_types(memory):
    """The optimiser's state without weak types, which loops do not accept."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, leaf.dtype), memory)
