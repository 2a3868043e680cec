"""Votes of examples that share the devices, each until its own votes decide.

After certain numbers of estimation votes, a look at them decides whether an example
needs more. Examples share the device in slots; one that is decided makes room for the
next. The votes of an example depend on its key and the tile, not on other examples.
"""

import collections
import functools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Int

from advjax.arguments import check_key
from advjax.smoothing.counting.placement import Placement, default_tile
from advjax.smoothing.counting.slots import Slots, SlotTile, fill, put, slot_counter
from advjax.smoothing.counting.tally import (
    Example,
    OnTally,
    Tally,
    add,
    refuse_no_votes,
)
from advjax.smoothing.counting.votes import as_example, explain
from advjax.smoothing.counting.workers import Counts
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyCallable

SLOTS_PER_TILE = 4
"""Slots for each tile that is evaluated at once; half of them are on the device."""


class Stopping(NamedTuple):
    """The stopping rule of an example's estimation votes.

    Attributes:
        looks: rising numbers of votes; at the last one every example is decided.
        look: computes the bounds of tallies, each at one of these numbers.
        is_decided: true for a tally after a look that needs no further votes.
    """

    looks: Int[np.ndarray, "looks"]
    look: Callable[[Sequence[Tally]], list[Tally]]
    is_decided: Callable[[Tally], bool]


def count_until(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    num_selection: int,
    stopping: Stopping,
    placement: Placement,
    on_tally: OnTally | None = None,
) -> Iterator[tuple[int, Tally]]:
    """Yield each example's number and tally, as soon as it is decided.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        examples: all of one shape; each is counted on from its own tally.
        noise: the noise distribution.
        num_selection: votes that choose the class of each example.
        stopping: the stopping rule of the fresh votes for the class.
        placement: the layout of the copies on the devices, with a tile.
        on_tally: called with an undecided example's votes after each dispatch.

    Raises:
        ValueError: an argument or an example is impossible, or the classifier gave
            finite logits on no noisy copy at all.
        MemoryError: a dispatch does not fit the device.
    """
    tile, chunk, *_ = placement.complete()
    tiles_at_once = placement.tiles_at_once or max(1, default_tile() // tile)
    num_slots = (
        placement.num_slots or SLOTS_PER_TILE * tiles_at_once * placement.num_devices
    )
    shape = {"tile": tile, "tiles_at_once": tiles_at_once, "chunk": chunk}

    @functools.cache
    def counter(workers):
        if workers is None:
            return slot_counter(logits_fn, noise=noise, mesh=placement.mesh, **shape)
        return functools.partial(workers.count_slots, logits_fn, noise=noise, **shape)

    most = max(num_selection, int(stopping.looks[-1]))
    on_tally = on_tally or (lambda *_: None)
    waiting, slots = enumerate(examples), None
    held: dict[int, _Held] = {}
    free, ready = list(range(num_slots)), collections.deque()
    queued: collections.deque[tuple[Any, list[_Part]]] = collections.deque()
    while True:
        for slot, number, example in _admit(waiting, free):
            x = as_example(example.x, num_samples=most, tile=tile, chunk=chunk, first=0)
            check_key(example.key)
            slots = _with_example(slots, num_slots, slot, number, x, example.key)
            held[slot] = _Held(number, example.tally)
            ready.append(slot)
        # The device works on one dispatch while the host reads the other.
        while ready and len(queued) < 2:
            here = placement.of_next_dispatch()
            row = tiles_at_once * here.num_devices
            chosen = [
                ready.popleft() for _ in range(min(len(ready), len(held) // 2 + 1))
            ]
            parts, tiles = _dispatch(
                [
                    _next_part(s, held[s].tally, num_selection, stopping.looks)
                    for s in chosen
                ],
                tile=tile, row=row, most=chunk * row,
            )  # fmt: skip
            ready.extendleft(reversed(chosen[len(parts) :]))
            queued.append((counter(here.workers)(slots, tiles), parts))
        if not queued:
            return
        counts, parts = queued.popleft()
        _add(held, parts, _read(counts), num_selection)
        complete = [p.slot for p in parts if p.half == 1 and p.stop == p.last]
        tallies = stopping.look([held[slot].tally for slot in complete])
        for slot, tally in zip(complete, tallies, strict=True):
            held[slot] = held[slot]._replace(tally=tally)
        for slot in [part.slot for part in parts]:
            number, tally = held[slot]
            if slot in complete and stopping.is_decided(tally):
                free.append(slot)
                del held[slot]
                yield number, tally
            else:
                ready.append(slot)
                on_tally(number, tally)


class _Held(NamedTuple):
    """The example in a slot: its number, and its votes so far."""

    number: int
    tally: Tally


class _Part(NamedTuple):
    """Copies first..stop - 1 of one half of an example, which ends at `last`."""

    slot: int
    half: int
    first: int
    stop: int
    last: int


def _admit(
    waiting: Iterator[tuple[int, Example]], free: list[int]
) -> Iterator[tuple[int, int, Example]]:
    """Yield (slot, number, example) for each free slot while there are examples."""
    while free and (new := next(waiting, None)) is not None:
        yield free.pop(), *new


def _with_example(slots, num_slots: int, slot: int, number: int, x, key) -> Slots:
    keys = jax.random.split(key)
    if slots is None:
        return fill(num_slots, x, keys)
    shape, dtype = slots.x.shape[1:], slots.x.dtype
    if (x.shape, x.dtype) != (shape, dtype):
        raise ValueError(
            f"example {number} is {x.dtype}{x.shape} and those before it "
            f"{dtype}{shape}: give examples of one shape and type."
        )
    return put(slots, slot, x, keys)


def _next_part(slot: int, tally: Tally, num_selection: int, looks) -> _Part:
    """The votes that an example needs until its next look."""
    if tally.num_selection < num_selection:
        return _Part(slot, 0, tally.num_selection, num_selection, num_selection)
    last = int(looks[np.searchsorted(looks, tally.num_estimation, side="right")])
    return _Part(slot, 1, tally.num_estimation, last, last)


def _dispatch(
    parts: list[_Part], *, tile: int, row: int, most: int
) -> tuple[list[_Part], list[SlotTile]]:
    """The parts and their tiles that fit one dispatch of whole rows."""
    tiles = [
        SlotTile(part.slot, part.half, index, part.first, part.last)
        for part in parts
        for index in range(part.first // tile, math.ceil(part.last / tile))
    ]
    room = min(most, len(tiles))
    tiles = tiles[: room - room % row if room > row else room]
    stops = {t.slot: min((t.tile_index + 1) * tile, t.last) for t in tiles}
    # The last parts are cut.
    return [p._replace(stop=stops[p.slot]) for p in parts if p.slot in stops], tiles


def _read(counts: jax.Array | Counts) -> np.ndarray:
    try:
        return np.asarray(counts).astype(np.int64)
    except jax.errors.JaxRuntimeError as error:
        raise explain(error) from error


def _add(
    held: dict[int, _Held], parts: list[_Part], counts: np.ndarray, num_selection: int
) -> None:
    for part in parts:
        number, tally = held[part.slot]
        tally = add(tally, part.half, counts[part.slot], part.stop)
        if tally.num_selection == num_selection:
            refuse_no_votes(tally.selection, num_selection)
        held[part.slot] = _Held(number, tally)
