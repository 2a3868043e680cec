"""Carlini and Wagner's l2 attack: a search for the constant over runs of Adam."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from advjax.attacks.base import Common, InitFn, StepFn, begin, choose
from advjax.attacks.carlini_wagner import descent as adam
from advjax.attacks.search import Search, advance_search, begin_search
from advjax.padding import own


class CarliniWagnerL2State(NamedTuple):
    """See `State`.

    Attributes:
        descent: the run of Adam.
        search: the search for its constant.
        found: whether this run has had a success.
        best: the squared distance of `x_adv`; infinite before the first success.
        rate: the learning rate.
    """

    common: Common
    descent: adam.Descent
    search: Search
    found: Bool[Array, ""]
    best: Float[Array, ""]
    rate: Float[Array, ""]


def l2(options: adam.Options) -> tuple[InitFn, StepFn]:
    """`init` and `step` of the l2 attack; see `carlini_wagner`."""
    encode, decode = options.variables.encode, options.variables.decode

    def init(logits_fn, x, y, key, budget):
        del key
        entries = own(logits_fn).count(x) if options.mean_square else 1
        return CarliniWagnerL2State(
            common=begin(x, y, budget),
            descent=adam.begin(encode(x)),
            search=begin_search(options.initial_c * entries),
            found=jnp.bool_(False),
            best=jnp.float32(jnp.inf),
            rate=jnp.float32(0),
        )

    def step(logits_fn, state):
        common, c = state.common, state.search.c
        first = common.queries == 0
        # The example itself, of which the image under tanh is an approximation.
        moved = own(logits_fn).keep(decode(state.descent.w))
        point = jnp.where(first, common.x, moved)
        at = adam.judge(logits_fn, point, common.y, options)
        delta = point - common.x
        distance = jnp.sum(jnp.square(delta))
        loss = distance + c * jnp.maximum(at.gap, 0)
        gradient = 2 * delta + jnp.where(at.gap > 0, c, 0) * at.slope
        rate = adam.learning_rate(at, first, state.rate, options)
        descent, over = adam.descend(state.descent, loss, gradient, rate, options)
        found = state.found | at.hit
        search = advance_search(state.search, over=over, found=found)
        better = at.hit & (distance < state.best)
        return CarliniWagnerL2State(
            common=common._replace(
                x_adv=jnp.where(better, point, common.x_adv),
                done=(first & at.hit) | (search.num_runs >= options.num_searches),
                queries=common.queries + 1,
            ),
            descent=choose(over, adam.restart(descent), descent),
            search=search,
            found=found & ~over,
            best=jnp.where(better, distance, state.best),
            rate=rate,
        )

    return init, step
