"""Carlini and Wagner's l0 attack: fewer and fewer entries may change.

Adam minimises the squared distance plus c * hinge over the entries of a set, from where
the last success was. A success fixes those of them that matter least to it, measured by
|slope of the margin * change|; a failure is tried again with a larger c.

Source: Carlini and Wagner 2017, arXiv:1608.04644, section VI.B; the largest c, 2e6,
from the authors' code, carlini/nn_robust_attacks.
Differs: half of the set is fixed at once and, where that fails, half as many of the
last set that did not, down to one; the authors fix about 0.3 * sqrt(entries) and stop
at the first failure, which takes hundreds of rounds for a second of audio. c grows
tenfold instead of twofold. Entries are single, never whole pixels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks import carlini_wagner_inner as inner
from advjax.attacks.base import Budget
from advjax.types import Features, Label

_GROWTH = 10.0
_LARGEST_C = 2e6

_TRIES = 16
"""Single entries that turn out to be needed before the search ends."""


class CarliniWagnerL0State(NamedTuple):
    """See `State`.

    Attributes:
        descent: the run of Adam.
        c: the run's constant.
        free: entries that this run may change.
        start: the variables at the last success, where runs begin.
        worth: what each entry's change was worth there; infinite where there was none.
        needed: entries without which no success was found.
        share: of the last successful set, what is fixed at once.
        fixed: entries that `free` has fewer than that set.
        best: entries changed in `x_adv`; more than there are while there is none.
        rate: the learning rate.
    """

    x: Features
    y: Label
    x_adv: Features
    budget: Budget
    done: Bool[Array, ""]
    queries: Int[Array, ""]
    descent: inner.Descent
    c: Float[Array, ""]
    free: Bool[Array, "*features"]
    start: Features
    worth: Features
    needed: Bool[Array, "*features"]
    share: Float[Array, ""]
    fixed: Int[Array, ""]
    best: Int[Array, ""]
    rate: Float[Array, ""]


def l0(options: inner.Options):
    """`init` and `step` of the attack; see `carlini_wagner.carlini_wagner`."""
    encode, decode = options.variables.encode, options.variables.decode

    def init(logits_fn, x, y, key, budget):
        del logits_fn, key
        w = encode(x)
        return CarliniWagnerL0State(
            x, y, x, budget, jnp.bool_(False), jnp.int32(0), inner.begin(w),
            jnp.float32(options.initial_c), jnp.ones(x.shape, bool), w,
            jnp.full(x.shape, jnp.inf, jnp.float32), jnp.zeros(x.shape, bool),
            jnp.float32(0.5), jnp.int32(0), jnp.int32(x.size + 1),
            jnp.float32(0),
        )  # fmt: skip

    def step(logits_fn, state):
        first = state.queries == 0
        w = state.descent.w
        point = jnp.where(state.free & ~first, decode(w), state.x)
        at = inner.judged(logits_fn, point, state.y, options)
        delta = point - state.x
        changed = point != state.x
        count = jnp.sum(changed, dtype=jnp.int32)
        loss = jnp.sum(jnp.square(delta)) + state.c * jnp.maximum(at.gap, 0)
        gradient = 2 * delta + jnp.where(at.gap > 0, state.c, 0) * at.slope
        rate = inner.rate(at, first, state.rate, options)
        descent, ended = inner.descend(
            state.descent,
            loss,
            jnp.where(state.free, gradient, 0),
            rate,
            options,
        )
        won = at.hit & (options.abort_early | ended)
        lost = ended & ~won
        failed = lost & (state.c >= _LARGEST_C)
        worth = jnp.where(
            won, jnp.where(changed, jnp.abs(at.slope * delta), jnp.inf), state.worth
        )
        alone = failed & (state.fixed <= 1)
        needed = state.needed | (alone & jnp.isfinite(worth) & ~state.free)
        share = jnp.where(failed, state.share / 2, state.share)
        free, fixed = _computed_if(
            won | failed,
            lambda: _without_least(worth, needed, share),
            (state.free, state.fixed),
        )
        start = jnp.where(won, w, state.start)
        better = at.hit & (count < state.best)
        tried = jnp.sum(needed, dtype=jnp.int32)
        at_end = (won | failed) & ((fixed == 0) | (tried >= _TRIES))
        return state._replace(
            x_adv=jnp.where(better, point, state.x_adv),
            done=(first & at.hit) | at_end,
            queries=state.queries + 1,
            descent=inner.choose(won | lost, inner.begin(start), descent),
            c=jnp.where(lost, jnp.minimum(_GROWTH * state.c, _LARGEST_C), state.c),
            free=free,
            start=start,
            worth=worth,
            needed=needed,
            share=share,
            fixed=fixed,
            best=jnp.where(better, count, state.best),
            rate=rate,
        )

    return init, step


def _without_least(worth, needed, share):
    """The entries of finite worth but for that share, worth least, and its number.

    Needed ones stay; where all are needed, or one is left, the number is 0.
    """
    members = jnp.isfinite(worth)
    in_all = jnp.sum(members, dtype=jnp.int32)
    spare = jnp.where(in_all > 1, jnp.sum(members & ~needed, dtype=jnp.int32), 0)
    number = jnp.floor(share * in_all.astype(jnp.float32)).astype(jnp.int32)
    number = jnp.clip(number, jnp.minimum(1, spare), spare)
    order = jnp.argsort(jnp.where(needed, jnp.inf, worth).ravel())
    rank = jnp.argsort(order).reshape(worth.shape)
    return members & (rank >= number), number


def _computed_if(wanted, compute, otherwise):
    """`compute()` where wanted.

    `lax.cond` under `vmap` computes both sides at every step, here a sort; this loop
    has no turn at all unless some example of the batch wants one.
    """
    _, found = jax.lax.while_loop(
        lambda carry: carry[0],
        lambda carry: (jnp.zeros_like(carry[0]), compute()),
        (wanted, otherwise),
    )
    return found
