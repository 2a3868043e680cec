"""One attack on many examples, in a fixed number of slots.

The compiled program always advances the same number of slots. When a few examples are
finished, their slots take the next ones: nothing waits for the slowest example of its
batch, and since the program's shape never changes, nothing is compiled anew. On a CPU
the last bits of a convolution depend on an example's place in the batch; but for these
a result does not depend on which other examples are attacked with it.

Over a mesh each device advances its share of the slots. They step together, so slots
are filled in the order of one device: the same slots give the same results, and a state
saved on so many devices is continued on others. That is `shard_map` and not a sharded
`jit` alone, which would gather the batch on every device for a Fourier transform.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int

from advjax.attacks.base import Attack, AttackResult, Ended, checked_budget, measured
from advjax.compilation import compiler_options
from advjax.parallel import AXIS, replicate
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
    mesh: Mesh | None = None,
) -> Iterator[tuple[int, AttackResult]]:
    """Each example's number and result, at the latest `block` steps after its end.

    Args:
        attack: what to run.
        logits_fn: one example to one row of logits.
        x: clean examples on the host.
        y: labels or, for a targeted attack, classes to reach.
        keys: one key an example.
        budget: one for all, or one an example.
        num_slots: examples advanced at once; None for the backend's default on each
            device, or as many as `slots` has. Rounded up to a multiple of the devices.
            Another number may change the last bits of results.
        block: the most steps between two calls of `on_block`. Does not change results.
        slots: where an earlier call stood, as `on_block` saw it; results that it had
            already given are not given again.
        on_block: called with the state every `block` steps and at the end, after all
            results so far were given.
        mesh: devices of this process that share the slots; None for where `logits_fn`
            is.

    Raises:
        ValueError: inputs that are not finite, or a missing budget.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.int32)
    _refuse_bad(x, y)
    num_devices = 1 if mesh is None else mesh.size
    if slots is None:
        num_slots = num_slots or min(num_devices * default_slots(), len(x))
        slots = Slots(None, np.zeros(num_slots, np.int32), np.full(num_slots, -1), 0)
    slots = _in_equal_shares(slots, num_devices)
    num_slots = len(slots.steps)
    budgets = np.broadcast_to(np.asarray(checked_budget(attack, budget)), (len(x),))
    begin, advance, judge = _programs(attack, mesh)
    if mesh is not None:
        logits_fn = jax.device_put(logits_fn, replicate(mesh))
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
    """Examples a device advances at once: a few on a CPU, whose caches are small."""
    return 8 if jax.default_backend() == "cpu" else 128


def _in_equal_shares(slots: Slots, num_devices: int) -> Slots:
    """The slots and as many free ones as make every device's share equal."""
    num_slots = len(slots.steps)
    more = -num_slots % num_devices
    if not more:
        return slots
    # What stands in a free slot is never looked at.
    rows = np.minimum(np.arange(num_slots + more), num_slots - 1)
    return Slots(
        jax.tree.map(lambda a: a[rows], slots.state),
        np.append(slots.steps, np.zeros(more, slots.steps.dtype)),
        np.append(slots.example, np.full(more, -1)),
        slots.following,
    )


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
def _programs(attack: Attack, mesh: Mesh | None):
    """What begins examples in free slots, advances all slots, and judges results."""
    choose = jax.vmap(
        lambda chosen, new, old: jax.tree.map(
            functools.partial(jnp.where, chosen), new, old
        )
    )

    def advance_block(logits_fn, state, steps, active, enough, most):
        """At most so many steps for all slots, until `enough` active ones are done."""

        def working(state, steps):
            return active & ~state.done & (steps < attack.max_steps)

        def num_done(state, steps):
            done = jnp.sum(active & ~working(state, steps), dtype=jnp.int32)
            return done if mesh is None else jax.lax.psum(done, AXIS)

        def unfinished(carry):
            _, _, done, num_rounds = carry
            return (done < enough) & (num_rounds < most)

        def advance(carry):
            state, steps, _, num_rounds = carry
            moves = working(state, steps)
            moved = jax.vmap(functools.partial(attack.step, logits_fn))(state)
            state = choose(moves, moved, state)
            steps = steps + moves.astype(steps.dtype)
            return state, steps, num_done(state, steps), num_rounds + 1

        state, steps, _, num_rounds = jax.lax.while_loop(
            unfinished, advance, (state, steps, num_done(state, steps), jnp.int32(0))
        )
        return state, steps, active & ~working(state, steps), num_rounds

    def begin_some(logits_fn, x, y, keys, budgets, fresh, before):
        begun = jax.vmap(functools.partial(attack.init, logits_fn))(x, y, keys, budgets)
        if before is None:
            return begun
        return choose(fresh, begun, before)

    def judge_all(logits_fn, ended):
        return jax.vmap(functools.partial(measured, attack, logits_fn))(ended)

    slots, same = PartitionSpec(AXIS), PartitionSpec()
    begin = _compiled(begin_some, mesh, [same] + [slots] * 6, slots)
    advance = _compiled(
        advance_block,
        mesh,
        [same, slots, slots, slots, same, same],
        (slots, slots, slots, same),
        donate_argnums=1,
    )
    judge = _compiled(judge_all, mesh, [same, slots], slots)
    return begin, advance, judge


def _compiled(function, mesh: Mesh | None, in_specs, out_specs, **options):
    """The function as one program, on a mesh with its arrays split as the specs say."""
    options["compiler_options"] = compiler_options(mesh)
    if mesh is None:
        return jax.jit(function, **options)
    # Without check_vma, which would refuse an attack's own loops: they start from
    # values that are equal on all devices.
    split = jax.shard_map(
        function,
        mesh=mesh,
        in_specs=tuple(in_specs),
        out_specs=out_specs,
        check_vma=False,
    )
    program = jax.jit(split, **options)
    shardings = [NamedSharding(mesh, spec) for spec in in_specs]
    return lambda *arrays: program(*map(jax.device_put, arrays, shardings))


def _refuse_bad(x, y) -> None:
    if len(x) != len(y):
        raise ValueError(f"{len(x)} examples with {len(y)} labels")
    bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
    if bad.size:
        raise ValueError(
            f"example {bad[0]} holds NaN or infinity ({bad.size} such in all): no "
            "attack on it means anything. Check how it was read"
        )
