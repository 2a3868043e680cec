"""Carlini and Wagner's linf attack: lower a threshold for the change of every entry.

Adam minimises sum(max(|change| - tau, 0)) + c * hinge, starting at the last success. A
success within tau lowers tau to 0.9 times the largest change; a failure doubles c.

Source: Carlini and Wagner 2017, arXiv:1608.04644, section VI.C; the factors 0.9 and 2
and the largest c, 20, from the authors' code, carlini/nn_robust_attacks.
Differs: a step of Adam is at most a tenth of tau, because larger steps cannot meet a
tau near the learning rate. A run that fails under the first tau, which constrains
nothing, is the last, since Adam's steps do not depend on c there.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from advjax.attacks.base import Common, InitFn, StepFn, begin, choose
from advjax.attacks.carlini_wagner import descent as adam
from advjax.padding import own
from advjax.types import Features

_SHRINK = 0.9
_GROWTH = 2.0
_LARGEST_C = 20.0
_STEPS_TO_TAU = 10


class CarliniWagnerLinfState(NamedTuple):
    """See `State`.

    Attributes:
        descent: the run of Adam.
        start: the variables at which this tau's runs begin.
        c: the run's constant.
        tau: the change of an entry that costs nothing.
        best: the largest change in `x_adv`; infinite before the first success.
        rate: the learning rate; tau may limit a step further.
    """

    common: Common
    descent: adam.Descent
    start: Features
    c: Float[Array, ""]
    tau: Float[Array, ""]
    best: Float[Array, ""]
    rate: Float[Array, ""]


def linf(options: adam.Options) -> tuple[InitFn, StepFn]:
    """`init` and `step` of the linf attack; see `carlini_wagner`."""
    encode, decode = options.variables.encode, options.variables.decode

    def init(logits_fn, x, y, key, budget):
        del logits_fn, key
        tau = jnp.float32(options.bounds[1] - options.bounds[0])
        return CarliniWagnerLinfState(
            common=begin(x, y, budget),
            descent=adam.begin(encode(x)),
            start=encode(x),
            c=jnp.float32(options.initial_c),
            tau=tau,
            best=jnp.float32(jnp.inf),
            rate=jnp.float32(0),
        )

    def step(logits_fn, state):
        common, w, tau = state.common, state.descent.w, state.tau
        first = common.queries == 0
        point = jnp.where(first, common.x, own(logits_fn).keep(decode(w)))
        at = adam.judge(logits_fn, point, common.y, options)
        delta = point - common.x
        excess = jnp.maximum(jnp.abs(delta) - tau, 0)
        size = jnp.max(jnp.abs(delta))
        loss = jnp.sum(excess) + state.c * jnp.maximum(at.gap, 0)
        gradient = jnp.where(excess > 0, jnp.sign(delta), 0)
        gradient += jnp.where(at.gap > 0, state.c, 0) * at.slope
        rate = adam.learning_rate(at, first, state.rate, options)
        slower = jnp.minimum(rate, tau / (_STEPS_TO_TAU * options.variables.width))
        descent, ended = adam.descend(state.descent, loss, gradient, slower, options)
        won = at.hit & (size <= tau) & (options.abort_early | ended)
        lost = ended & ~won
        start = jnp.where(won, w, state.start)
        c = jnp.where(lost, _GROWTH * state.c, state.c)
        better = at.hit & (size < state.best)
        best = jnp.where(better, size, state.best)
        hopeless = (c > _LARGEST_C) | ~jnp.isfinite(best)
        return CarliniWagnerLinfState(
            common=common._replace(
                x_adv=jnp.where(better, point, common.x_adv),
                done=(first & at.hit) | (lost & hopeless),
                queries=common.queries + 1,
            ),
            descent=choose(won | lost, adam.begin(start), descent),
            start=start,
            c=c,
            tau=jnp.where(won, _SHRINK * size, tau),
            best=best,
            rate=rate,
        )

    return init, step
