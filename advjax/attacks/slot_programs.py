"""The compiled programs of attacks in slots: begin, advance, judge, and gather.

On a mesh, `shard_map` is used because a sharded `jit` gathers the whole batch on every
device for a Fourier transform.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int

from advjax.arguments import in_float32
from advjax.attacks.base import Attack, Ended, choose, measure
from advjax.callables import join
from advjax.padding import of_each
from advjax.runtime import targets
from advjax.runtime.compilation import compiler_options
from advjax.runtime.parallel import AXIS, replicate
from advjax.types import PyTree


class Program(NamedTuple):
    """A compiled program of the slots.

    Attributes:
        compiled: the function of a static part and arrays, as `jax.jit` returns it.
        shardings: of each argument but the first; empty for one device.
    """

    compiled: Any
    shardings: tuple[NamedSharding, ...] = ()

    def __call__(self, static: Any, *arrays: Any) -> Any:
        """Run it, with the arrays put where they belong."""
        if self.shardings:
            arrays = tuple(map(jax.device_put, arrays, self.shardings))
        return self.compiled(static, *arrays)


@functools.lru_cache(maxsize=8)
def programs(
    attack: Attack, mesh: Mesh | None, *, ynnpack: bool
) -> tuple[Program, Program, Program]:
    """Programs that start examples, advance all slots and judge results.

    Their arguments are the static part and the arrays of the classifier, as of `split`,
    and the arrays of the slots.

    Args:
        attack: the attack.
        mesh: devices that share the slots; None for one.
        ynnpack: as of `compiler_options`.
    """
    choose_each = jax.vmap(choose)

    def advance_block(static, arrays, state, steps, active, lengths, enough, most):
        """Take at most `most` steps, until `enough` active slots are done."""
        logits_fn = in_float32(join(arrays, static))

        def working(state, steps):
            return active & ~state.common.done & (steps < attack.max_steps)

        def num_done(state, steps):
            done = jnp.sum(active & ~working(state, steps), dtype=jnp.int32)
            return done if mesh is None else jax.lax.psum(done, AXIS)

        def unfinished(carry):
            _, _, done, num_rounds = carry
            return (done < enough) & (num_rounds < most)

        def advance(carry):
            state, steps, _, num_rounds = carry
            moves = working(state, steps)
            moved = of_each(attack.step, logits_fn)(lengths, state)
            state = choose_each(moves, moved, state)
            steps = steps + moves.astype(steps.dtype)
            return state, steps, num_done(state, steps), num_rounds + 1

        state, steps, _, num_rounds = jax.lax.while_loop(
            unfinished, advance, (state, steps, num_done(state, steps), jnp.int32(0))
        )
        return state, steps, active & ~working(state, steps), num_rounds

    def begin_some(static, arrays, x, y, keys, budgets, lengths, fresh, before):
        logits_fn = in_float32(join(arrays, static))
        begun = of_each(attack.init, logits_fn)(lengths, x, y, keys, budgets)
        if before is None:
            return begun
        return choose_each(fresh, begun, before)

    def judge_all(static, arrays, ended, lengths):
        logits_fn = in_float32(join(arrays, static))
        return of_each(functools.partial(measure, attack), logits_fn)(lengths, ended)

    slots, same = PartitionSpec(AXIS), PartitionSpec()
    compiled = functools.partial(
        _compile, mesh, compiler_options=compiler_options(mesh, ynnpack=ynnpack)
    )
    begin = compiled(begin_some, [same] + [slots] * 7, slots)
    advance = compiled(
        advance_block,
        [same, slots, slots, slots, slots, same, same],
        (slots, slots, slots, same),
        donate_argnums=2,
    )
    judge = compiled(judge_all, [same, slots, slots], slots)
    return begin, advance, judge


def slot_shapes(
    begin: Program,
    static: Any,
    arrays: Any,
    shape: tuple[int, ...],
    count: int,
    *,
    padded: bool = False,
) -> tuple[PyTree, ...]:
    """Shapes of the slots' states, steps, which of them are active, and lengths.

    Args:
        begin: the program that starts examples.
        static: the static part of the classifier, as of `split`.
        arrays: its arrays, or their shapes.
        shape: of one example.
        count: slots, of all devices.
        padded: whether examples are padded; without padding the lengths are None.
    """

    def rows(dtype, *sizes):
        return jax.ShapeDtypeStruct((count, *sizes), dtype)

    key = jax.eval_shape(lambda: jax.random.key(0)).dtype
    lengths = rows(jnp.int32) if padded else None
    state = begin.compiled.eval_shape(
        static, arrays, rows(jnp.float32, *shape), rows(jnp.int32), rows(key),
        rows(jnp.float32), lengths, rows(bool), None,
    )  # fmt: skip
    return state, rows(jnp.int32), rows(bool), lengths


def _compile(mesh: Mesh | None, function, in_specs, out_specs, **options) -> Program:
    """The function as one program; on a mesh, with its arrays split by the specs.

    The first argument, the static part found by `split`, is part of the program.
    """
    options |= {"static_argnums": 0}
    if mesh is None:
        return Program(jax.jit(function, **options))

    def on_mesh(static, *arrays):
        # check_vma would refuse an attack's own loops, which start from values that
        # are equal on all devices.
        return jax.shard_map(
            functools.partial(function, static),
            mesh=mesh,
            in_specs=tuple(in_specs),
            out_specs=out_specs,
            check_vma=False,
        )(*arrays)

    shardings = tuple(NamedSharding(mesh, spec) for spec in in_specs)
    return Program(jax.jit(on_mesh, **options), shardings)


def rows_of(
    ended: Ended, slots: Int[np.ndarray, "rows"], mesh: Mesh | None
) -> list[Ended]:
    """The rows of these slots on the host.

    An accelerator gathers them before they are copied: all slots would be many times as
    many bytes. On a CPU they are on the host already.

    Args:
        ended: of all slots.
        slots: at least one.
        mesh: devices that share the slots; None for one.
    """
    places = slots
    if not targets.on_cpu():
        # Padded to a power of two, so that few programs are compiled.
        room = min(1 << (len(slots) - 1).bit_length(), len(ended.y))
        padded = np.pad(slots, (0, room - len(slots)), "edge")
        ended, places = _gather(mesh)(ended, padded), np.arange(len(slots))
    rows = jax.tree.map(np.asarray, ended)
    # Copied, because a later program overwrites the arrays of the slots.
    return [jax.tree.map(lambda a, at=at: a[at].copy(), rows) for at in places]


@functools.lru_cache(maxsize=8)
def _gather(mesh: Mesh | None) -> Any:
    whole = {} if mesh is None else {"out_shardings": replicate(mesh)}

    def gather(ended, slots):
        return jax.tree.map(lambda a: jnp.take(a, slots, axis=0, mode="clip"), ended)

    return jax.jit(gather, **whole)
