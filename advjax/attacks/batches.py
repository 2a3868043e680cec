"""One attack on many examples, in a fixed number of slots.

The compiled program always advances the same number of slots. When a few examples are
finished, their slots take the next ones: nothing waits for the slowest example of its
batch, and since the program's shape never changes, nothing is compiled anew. On a CPU
the last bits of a convolution depend on an example's place in the batch; but for these
a result does not depend on which other examples are attacked with it.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.attacks.base import Attack, AttackResult, Ended, checked_budget, measured
from advjax.compilation import compiler_options
from advjax.types import LogitsFn


class Slots(NamedTuple):
    """An attack in mid-flight, as arrays that can be saved.

    Attributes:
        state: the attack's states, stacked [slots].
        steps: steps each slot has taken.
        example: which example a slot works on; -1 for none.
        following: the first example that has not been started.
    """

    state: Any
    steps: Int[np.ndarray, "slots"]
    example: Int[np.ndarray, "slots"]
    following: int


def run_batch(
    attack: Attack,
    logits_fn: LogitsFn,
    x: Float[np.ndarray, "examples *features"],
    y: Int[np.ndarray, "examples"],
    keys: Array,
    budget: Float[np.ndarray, "examples"] | float | None = None,
    *,
    num_slots: int | None = None,
    block: int = 50,
    slots: Slots | None = None,
    on_block: Callable[[Slots], None] | None = None,
) -> Iterator[tuple[int, AttackResult]]:
    """Each example's number and result, at the latest `block` steps after its end.

    Args:
        attack: what to run.
        logits_fn: one example to one row of logits.
        x: clean examples on the host.
        y: labels or, for a targeted attack, classes to reach.
        keys: one key an example.
        budget: one for all, or one an example.
        num_slots: examples advanced at once; None for the backend's default, or as
            many as `slots` has. Another number may change the last bits of results.
        block: the most steps between two calls of `on_block`. Does not change results.
        slots: where an earlier call stood, as `on_block` saw it; results that it had
            already given are not given again.
        on_block: called with the state every `block` steps and at the end, after all
            results so far were given.

    Raises:
        ValueError: inputs that are not finite, or a missing budget.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.int32)
    _refuse_bad(x, y)
    if slots is None:
        num_slots = num_slots or min(default_slots(), len(x))
        slots = Slots(None, np.zeros(num_slots, np.int32), np.full(num_slots, -1), 0)
    num_slots = len(slots.steps)
    budgets = np.broadcast_to(np.asarray(checked_budget(attack, budget)), (len(x),))
    begin, advance, judge = _programs(attack)
    ended, num_rounds = [], 0
    while slots.following < len(x) or (slots.example >= 0).any():
        slots = _filled(slots, begin, logits_fn, (x, y, keys, budgets))
        example, active = slots.example, slots.example >= 0
        # While examples wait, a few free slots are worth a look; then all must end.
        waiting = slots.following < len(x)
        enough = max(1, num_slots // 8) if waiting else int(active.sum())
        state, steps, finished, rounds = advance(
            logits_fn, slots.state, slots.steps, active, np.int32(enough),
            np.int32(block - num_rounds),
        )  # fmt: skip
        finished = np.asarray(finished)
        if finished.any():
            ended += _taken(state, example, finished)
            example = np.where(finished, -1, example)
        slots = Slots(state, np.asarray(steps), example, slots.following)
        num_rounds += int(rounds)
        idle = slots.following == len(x) and (example < 0).all()
        at_block = num_rounds >= block or idle
        # Judged together, they fill a batch. A snapshot has no place for them.
        while len(ended) >= num_slots or (ended and at_block):
            yield from _judged(judge, logits_fn, ended[:num_slots], num_slots)
            del ended[:num_slots]
        if at_block:
            num_rounds = 0
            if on_block is not None:
                on_block(slots)


def _taken(state, example, finished) -> list[tuple[int, Ended]]:
    """The finished slots' examples and what they came to, on the host."""
    rows = Ended(*(np.asarray(getattr(state, name)) for name in Ended._fields))
    # Copied: the next call of `advance` writes over the arrays of this one.
    return [
        (int(example[slot]), jax.tree.map(lambda a, s=slot: a[s].copy(), rows))
        for slot in np.flatnonzero(finished)
    ]


def _judged(
    judge, logits_fn, ended: list[tuple[int, Ended]], num_slots: int
) -> Iterator[tuple[int, AttackResult]]:
    """Results of at most `num_slots` ended examples, in one call of one shape."""
    rows = [row for _, row in ended]
    rows += rows[-1:] * (num_slots - len(rows))
    found = jax.tree.map(
        np.asarray, judge(logits_fn, jax.tree.map(lambda *a: np.stack(a), *rows))
    )
    for place, (example, _) in enumerate(ended):
        yield example, jax.tree.map(lambda a, p=place: a[p], found)


def default_slots() -> int:
    """Examples advanced at once: a few on a CPU, whose caches are small."""
    return 8 if jax.default_backend() == "cpu" else 128


def _filled(slots: Slots, begin, logits_fn, examples) -> Slots:
    """The slots with every free one given the next example, while there are any."""
    x, y, keys, budgets = examples
    free = np.flatnonzero(slots.example < 0)[: len(x) - slots.following]
    if not free.size:
        return slots
    example = slots.example.copy()
    example[free] = slots.following + np.arange(free.size)
    fresh = np.zeros(len(example), bool)
    fresh[free] = True
    # A slot without an example works on the first one, for nothing.
    index = np.where(example < 0, 0, example)
    state = begin(
        logits_fn, x[index], y[index], keys[index], budgets[index], fresh, slots.state
    )
    steps = np.where(fresh, 0, slots.steps).astype(np.int32)
    return Slots(state, steps, example, slots.following + int(free.size))


@functools.lru_cache(maxsize=8)
def _programs(attack: Attack):
    options = compiler_options()
    choose = jax.vmap(
        lambda chosen, new, old: jax.tree.map(
            functools.partial(jnp.where, chosen), new, old
        )
    )

    def advance_block(logits_fn, state, steps, active, enough, most):
        """At most so many steps for all slots, until `enough` active ones are done."""

        def working(state, steps):
            return active & ~state.done & (steps < attack.max_steps)

        def unfinished(carry):
            state, steps, num_rounds = carry
            num_done = jnp.sum(active & ~working(state, steps), dtype=jnp.int32)
            return (num_done < enough) & (num_rounds < most)

        def advance(carry):
            state, steps, num_rounds = carry
            moves = working(state, steps)
            moved = jax.vmap(functools.partial(attack.step, logits_fn))(state)
            return (
                choose(moves, moved, state),
                steps + moves.astype(steps.dtype),
                num_rounds + 1,
            )

        state, steps, num_rounds = jax.lax.while_loop(
            unfinished, advance, (state, steps, jnp.int32(0))
        )
        return state, steps, active & ~working(state, steps), num_rounds

    def begin_some(logits_fn, x, y, keys, budgets, fresh, before):
        begun = jax.vmap(functools.partial(attack.init, logits_fn))(x, y, keys, budgets)
        if before is None:
            return begun
        return choose(fresh, begun, before)

    begin = jax.jit(begin_some, compiler_options=options)
    advance = jax.jit(advance_block, compiler_options=options, donate_argnums=1)
    judge = jax.jit(
        lambda f, ended: jax.vmap(functools.partial(measured, attack, f))(ended),
        compiler_options=options,
    )
    return begin, advance, judge


def _refuse_bad(x, y) -> None:
    if len(x) != len(y):
        raise ValueError(f"{len(x)} examples with {len(y)} labels")
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if bad.size:
        raise ValueError(
            f"example {bad[0]} holds NaN or infinity ({bad.size} such in all): no "
            "attack on it means anything. Check how it was read"
        )
