"""Attacks on many examples, in a fixed number of slots.

The compiled program always advances the same number of slots. As soon as a few examples
are finished, their slots take the next examples, so no example waits for the slowest of
its batch and nothing is recompiled. A result does not depend on the other examples,
except for the last bits: on a CPU the rounding of a convolution depends on an example's
place in the batch.

On a mesh each device advances its share of the slots. All devices step together and
slots are filled in the order of one device, so the same number of slots gives the same
results up to rounding, and a saved state can be continued on another number of devices.
"""

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, Int

from advjax.arguments import (
    check_key,
    check_labels,
    float_example,
    num_classes,
)
from advjax.attacks.base import (
    Attack,
    AttackResult,
    Ended,
    end_of,
    float_budget,
)
from advjax.attacks.checks import (
    PROBABILITIES,
    check_finite,
    check_finite_logits,
    check_in_bounds,
    example_like,
    look_like_probabilities,
)
from advjax.attacks.slot_programs import programs, rows_of
from advjax.callables import split
from advjax.padding import apart, of_any
from advjax.runtime import targets
from advjax.runtime.compilation import suits_ynnpack
from advjax.runtime.parallel import replicate
from advjax.types import AnyArray, AnyCallable, LogitsFn

_FEW_STEPS = 2
"""Attacks of more steps are worth a check of the classifier before they begin."""


class BatchState(NamedTuple):
    """State of `run_batch`: an attack on many examples, as arrays that can be saved.

    Attributes:
        state: the attack's states, stacked [slots].
        steps: steps taken by each slot.
        example: the example in each slot; -1 for a free slot.
        following: the first example that has not been started.
    """

    state: Any
    steps: Int[np.ndarray, "slots"]
    example: Int[np.ndarray, "slots"]
    following: int


class Examples(NamedTuple):
    """The checked arguments of `run_batch`, one row an example.

    Attributes:
        x: examples, padded where there are lengths.
        y: labels or targets.
        keys: their randomness.
        budgets: their budgets.
        lengths: their own lengths; None without padding.
    """

    x: Float[np.ndarray, "examples *features"]
    y: Int[np.ndarray, "examples"]
    keys: Any
    budgets: Float[np.ndarray, "examples"]
    lengths: Int[np.ndarray, "examples"] | None

    def lengths_at(self, numbers: Any) -> Int[np.ndarray, "rows"] | None:
        """The own lengths of these examples, if any."""
        return None if self.lengths is None else self.lengths[numbers]

    def cut(self, number: int, result: AttackResult) -> AttackResult:
        """The result of an example, without padding."""
        if self.lengths is None:
            return result
        return result._replace(x_adv=result.x_adv[: self.lengths[number]])


def run_batch(
    attack: Attack,
    logits_fn: AnyCallable,
    x: AnyArray,
    y: AnyArray,
    keys: Array | Any,
    budget: AnyArray | None = None,
    *,
    num_slots: int | None = None,
    block: int = 50,
    slots: BatchState | None = None,
    on_block: Callable[[BatchState], None] | None = None,
    mesh: Mesh | None = None,
) -> Iterator[tuple[int, AttackResult]]:
    """Attack many examples; yield each example's number and result.

    A result is yielded at most `block` steps after its example is finished.

    Args:
        attack: the attack to run.
        logits_fn: any callable from one example to one row of logits, as for `run`.
        x: clean examples, [examples, ...], float32 or cast to it; `Padded` for several
            lengths. Each result then has its example's own length.
        y: labels or, for a targeted attack, target classes.
        keys: one key per example.
        budget: one for all examples, or one per example.
        num_slots: examples advanced at once; None for the backend's default on each
            device, or the number in `slots`. Rounded up to a multiple of the devices.
            Another number may change the last bits of results.
        block: the largest number of steps between two calls of `on_block`. Does not
            change results.
        slots: a state passed to `on_block` by an earlier call, to continue from.
            Results that the earlier call yielded are not repeated.
        on_block: called with the state every `block` steps and at the end, after all
            results so far were yielded.
        mesh: devices of this process that share the slots; None for the device of
            `logits_fn`.

    Raises:
        ValueError: unusable functions, examples, labels, keys or budgets, or an attack
            that takes no padding. Raised at the call, except for errors that only the
            classifier's outputs show.
    """
    x, lengths = apart(x)
    x = np.asarray(float_example(x))
    if lengths is not None and not attack.any_length:
        raise ValueError(
            "this attack gives other results on padded examples: attack those of each "
            "length by themselves"
        )
    classes = num_classes(of_any(logits_fn, lengths), example_like(x))
    y = np.asarray(check_labels(y, classes, shape=(len(x),)))
    check_finite(x)
    check_in_bounds(x, attack.bounds)
    _check_keys(keys, len(x))
    budgets = np.asarray(float_budget(attack, budget))
    if budgets.shape not in ((), (len(x),)):
        raise ValueError(
            f"budget has shape {list(budgets.shape)}: give one number for all "
            f"{len(x)} examples, or one an example"
        )
    for name, value in (("num_slots", num_slots), ("block", block)):
        if value is not None and value < 1:
            raise ValueError(f"{name}={value}: give at least 1")
    num_devices = 1 if mesh is None else mesh.size
    if slots is None:
        num_slots = num_slots or min(num_devices * default_slots(), len(x))
        slots = BatchState(
            state=None,
            steps=np.zeros(num_slots, np.int32),
            example=np.full(num_slots, -1),
            following=0,
        )
    slots = _in_equal_shares(slots, num_devices)
    examples = Examples(x, y, keys, np.broadcast_to(budgets, (len(x),)), lengths)
    bound = _bind(attack, logits_fn, mesh)
    before = attack.max_steps > _FEW_STEPS
    return _results(bound, examples, slots, block, on_block, mesh, check_first=before)


def _bind(attack: Attack, logits_fn: LogitsFn, mesh: Mesh | None):
    """The programs with the classifier as their first arguments."""
    arrays, static = split(logits_fn)
    bound = programs(attack, mesh, ynnpack=suits_ynnpack(arrays))
    if mesh is not None:
        arrays = jax.device_put(arrays, replicate(mesh))
    return [functools.partial(program, static, arrays) for program in bound]


def _results(
    programs,
    examples,
    slots: BatchState,
    block: int,
    on_block,
    mesh: Mesh | None,
    *,
    check_first: bool,
) -> Iterator[tuple[int, AttackResult]]:
    """Results of `run_batch` for checked arguments."""
    begin, advance, judge = programs
    x, num_slots = examples.x, len(slots.steps)
    if check_first and (slots.following < len(x) or (slots.example >= 0).any()):
        _check_outputs(judge, examples, num_slots)
    ended, num_rounds, checked = [], 0, check_first
    while slots.following < len(x) or (slots.example >= 0).any():
        slots = _fill(slots, begin, examples)
        example, active = slots.example, slots.example >= 0
        # While examples wait, return for an eighth of the slots; else for all of them.
        waiting = slots.following < len(x)
        enough = max(1, num_slots // 8) if waiting else int(active.sum())
        state, steps, finished, rounds = advance(
            slots.state,
            slots.steps,
            active,
            examples.lengths_at(np.where(example < 0, 0, example)),
            np.int32(enough),
            np.int32(block - num_rounds),
        )
        finished = np.asarray(finished)
        if finished.any():
            slot = np.flatnonzero(finished)
            rows = rows_of(end_of(state.common), slot, mesh)
            ended += zip(example[slot].tolist(), rows, strict=True)
            example = np.where(finished, -1, example)
        slots = slots._replace(state=state, steps=np.asarray(steps), example=example)
        num_rounds += int(rounds)
        idle = slots.following == len(x) and (example < 0).all()
        at_block = num_rounds >= block or idle
        # Judge in full batches; a snapshot cannot hold finished examples.
        while len(ended) >= num_slots or (ended and at_block):
            found = [*_judge(judge, ended[:num_slots], num_slots, examples)]
            for first in _doubtful(found, checked):
                _check_outputs(judge, examples, num_slots, first)
            checked = True
            for number, result in found:
                yield number, examples.cut(number, result)
            del ended[:num_slots]
        if at_block:
            num_rounds = 0
            if on_block is not None:
                on_block(slots)


def _doubtful(found: list[tuple[int, AttackResult]], checked: bool) -> list[int]:
    """Examples whose results raise a doubt about the classifier.

    Args:
        found: results by their example's number.
        checked: its clean logits are known to be no probabilities.
    """
    rows = np.stack([result.logits for _, result in found])
    if not checked and look_like_probabilities(rows):
        return [0]
    return [number for number, result in found if not np.isfinite(result.logits).all()]


def _check_outputs(judge, examples, num_slots: int, first: int = 0) -> None:
    """Refuse a classifier by its logits of clean examples, from the `first` one on.

    Raises:
        ValueError: logits that are not finite, or that are probabilities.
    """
    numbers = range(len(examples.x))[first : first + num_slots]

    def logits(scale):
        rows = []
        for number in numbers:
            x = examples.x[number] * np.float32(scale)
            ended = Ended(x, x, examples.y[number], np.float32(0), np.int32(0))
            rows.append((number, ended))
        found = _judge(judge, rows, num_slots, examples)
        return np.stack([result.logits for _, result in found])

    clean = logits(1)
    check_finite_logits(clean)
    # One set of logits may sum to 1 by chance; those of scaled examples do not.
    if look_like_probabilities(clean) and look_like_probabilities(logits(0.5)):
        raise ValueError(PROBABILITIES)


def _judge(
    judge, ended: list[tuple[int, Ended]], num_slots: int, examples: Examples
) -> Iterator[tuple[int, AttackResult]]:
    """Results of at most `num_slots` finished examples, in one call of fixed shape."""
    full = ended + ended[-1:] * (num_slots - len(ended))
    rows = jax.tree.map(lambda *a: np.stack(a), *(row for _, row in full))
    lengths = examples.lengths_at([number for number, _ in full])
    found = jax.tree.map(np.asarray, judge(rows, lengths))
    for place, (example, _) in enumerate(ended):
        yield example, jax.tree.map(lambda a, p=place: a[p], found)


def default_slots() -> int:
    """Examples that a device advances at once: few on a CPU, whose caches are small."""
    return 8 if targets.on_cpu() else 128


def _in_equal_shares(slots: BatchState, num_devices: int) -> BatchState:
    """The slots, extended with free ones until all devices have equally many."""
    num_slots = len(slots.steps)
    more = -num_slots % num_devices
    if not more:
        return slots
    # The content of a free slot is never read.
    rows = np.minimum(np.arange(num_slots + more), num_slots - 1)
    return slots._replace(
        state=jax.tree.map(lambda a: a[rows], slots.state),
        steps=np.append(slots.steps, np.zeros(more, slots.steps.dtype)),
        example=np.append(slots.example, np.full(more, -1)),
    )


def _fill(slots: BatchState, begin, examples) -> BatchState:
    """The slots, with the next examples in the free ones."""
    waiting = len(examples.x) - slots.following
    free = np.flatnonzero(slots.example < 0)[:waiting]
    if not free.size:
        return slots
    example = slots.example.copy()
    example[free] = slots.following + np.arange(free.size)
    fresh = np.zeros(len(example), bool)
    fresh[free] = True
    # A slot without an example computes on the first one; the result is discarded.
    index = np.where(example < 0, 0, example)
    state = begin(
        examples.x[index],
        examples.y[index],
        examples.keys[index],
        examples.budgets[index],
        examples.lengths_at(index),
        fresh,
        slots.state,
    )
    steps = np.where(fresh, 0, slots.steps).astype(np.int32)
    return BatchState(
        state=state,
        steps=steps,
        example=example,
        following=slots.following + int(free.size),
    )


def _check_keys(keys: Any, number: int) -> None:
    if not hasattr(keys, "dtype") or not len(keys.shape) or len(keys) != number:
        given = f"shape {list(keys.shape)}" if hasattr(keys, "shape") else repr(keys)
        raise ValueError(
            f"keys: {given} for {number} examples; give one key an example, as "
            f"jax.random.split(jax.random.key(0), {number}) makes them"
        )
    if number:
        check_key(keys[0], "keys[0]")
