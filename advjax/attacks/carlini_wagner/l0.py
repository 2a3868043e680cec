"""Carlini and Wagner's l0 attack: reduce the number of entries that change.

Adam minimises the squared distance plus c * hinge over a set of free entries, starting
at the last success. A success fixes the entries that matter least to it, measured by
|gradient of the margin * change|. A failure is repeated with a larger c.

Source: Carlini and Wagner 2017, arXiv:1608.04644, section VI.B; the largest c, 2e6,
from the authors' code, carlini/nn_robust_attacks.
Differs: half of the set is fixed at once. After a failure half as many are fixed, down
to one entry. The authors fix about 0.3 * sqrt(entries) and stop at the first failure,
which takes hundreds of rounds for a second of audio. c grows tenfold instead of
twofold. Entries are single, never whole pixels.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from advjax.attacks.base import Common, InitFn, StepFn, begin, choose
from advjax.attacks.carlini_wagner import descent as adam
from advjax.padding import own
from advjax.types import Features

_GROWTH = 10.0
_LARGEST_C = 2e6

_TRIES = 16
"""The search ends when so many single entries have turned out to be needed."""


class Entries(NamedTuple):
    """The entries that a run may change, and the data for choosing the next set.

    Attributes:
        free: entries that this run may change.
        start: the variables at the last success, where runs begin.
        worth: importance of each entry's change at the last success; infinite for an
            unchanged entry.
        needed: entries without which no success was found.
        share: share of the last successful set that is fixed at once.
        num_fixed: entries of that set that are not in `free`.
    """

    free: Bool[Array, "*features"]
    start: Features
    worth: Features
    needed: Bool[Array, "*features"]
    share: Float[Array, ""]
    num_fixed: Int[Array, ""]


class CarliniWagnerL0State(NamedTuple):
    """See `State`.

    Attributes:
        descent: the run of Adam.
        c: the run's constant.
        entries: the current set.
        best: entries changed in `x_adv`; more than there are before the first success.
        rate: the learning rate.
    """

    common: Common
    descent: adam.Descent
    c: Float[Array, ""]
    entries: Entries
    best: Int[Array, ""]
    rate: Float[Array, ""]


def l0(options: adam.Options) -> tuple[InitFn, StepFn]:
    """`init` and `step` of the l0 attack; see `carlini_wagner`."""
    encode, decode = options.variables.encode, options.variables.decode

    def init(logits_fn, x, y, key, budget):
        del logits_fn, key
        w = encode(x)
        return CarliniWagnerL0State(
            common=begin(x, y, budget),
            descent=adam.begin(w),
            c=jnp.float32(options.initial_c),
            entries=Entries(
                free=jnp.ones(x.shape, bool),
                start=w,
                worth=jnp.full(x.shape, jnp.inf, jnp.float32),
                needed=jnp.zeros(x.shape, bool),
                share=jnp.float32(0.5),
                num_fixed=jnp.int32(0),
            ),
            best=jnp.int32(x.size + 1),
            rate=jnp.float32(0),
        )

    def step(logits_fn, state):
        common, entries = state.common, state.entries
        x, w, first = common.x, state.descent.w, common.queries == 0
        moved = own(logits_fn).keep(decode(w))
        point = jnp.where(entries.free & ~first, moved, x)
        at = adam.judge(logits_fn, point, common.y, options)
        delta = point - x
        changed = point != x
        count = jnp.sum(changed, dtype=jnp.int32)
        loss = jnp.sum(jnp.square(delta)) + state.c * jnp.maximum(at.gap, 0)
        gradient = 2 * delta + jnp.where(at.gap > 0, state.c, 0) * at.slope
        rate = adam.learning_rate(at, first, state.rate, options)
        descent, ended = adam.descend(
            state.descent,
            loss,
            jnp.where(entries.free, gradient, 0),
            rate,
            options,
        )
        won = at.hit & (options.abort_early | ended)
        lost = ended & ~won
        failed = lost & (state.c >= _LARGEST_C)
        worth = jnp.where(
            won, jnp.where(changed, jnp.abs(at.slope * delta), jnp.inf), entries.worth
        )
        alone = failed & (entries.num_fixed <= 1)
        needed = entries.needed | (alone & jnp.isfinite(worth) & ~entries.free)
        share = jnp.where(failed, entries.share / 2, entries.share)
        free, num_fixed = _compute_if(
            won | failed,
            lambda: _without_least(worth, needed, share),
            (entries.free, entries.num_fixed),
        )
        start = jnp.where(won, w, entries.start)
        better = at.hit & (count < state.best)
        tried = jnp.sum(needed, dtype=jnp.int32)
        at_end = (won | failed) & ((num_fixed == 0) | (tried >= _TRIES))
        return CarliniWagnerL0State(
            common=common._replace(
                x_adv=jnp.where(better, point, common.x_adv),
                done=(first & at.hit) | at_end,
                queries=common.queries + 1,
            ),
            descent=choose(won | lost, adam.begin(start), descent),
            c=jnp.where(lost, jnp.minimum(_GROWTH * state.c, _LARGEST_C), state.c),
            entries=Entries(
                free=free,
                start=start,
                worth=worth,
                needed=needed,
                share=share,
                num_fixed=num_fixed,
            ),
            best=jnp.where(better, count, state.best),
            rate=rate,
        )

    return init, step


def _without_least(worth, needed, share):
    """The entries of finite worth without the least ones, and the number left out.

    `share` of the entries is left out, but no needed ones. The number is 0 if all
    entries are needed or one is left.
    """
    members = jnp.isfinite(worth)
    in_all = jnp.sum(members, dtype=jnp.int32)
    spare = jnp.where(in_all > 1, jnp.sum(members & ~needed, dtype=jnp.int32), 0)
    number = jnp.floor(share * in_all.astype(jnp.float32)).astype(jnp.int32)
    number = jnp.clip(number, jnp.minimum(1, spare), spare)
    order = jnp.argsort(jnp.where(needed, jnp.inf, worth).ravel())
    rank = jnp.argsort(order).reshape(worth.shape)
    return members & (rank >= number), number


def _compute_if(wanted, compute, otherwise):
    """`compute()` where wanted, else `otherwise`.

    `lax.cond` under `vmap` computes both sides at every step, here a sort. This loop
    makes no iteration unless an example of the batch wants one.
    """
    _, found = jax.lax.while_loop(
        lambda carry: carry[0],
        lambda carry: (jnp.zeros_like(carry[0]), compute()),
        (wanted, otherwise),
    )
    return found
