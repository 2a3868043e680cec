"""Certificates by votes that stop as soon as every asked radius is decided.

    for number, certificate in certify_sequentially(
        logits_fn, map(Example, xs, keys), noise=gaussian(0.25), radii=(0.1, 0.25)
    ):
        ...

Each example's votes are looked at after 20, 40, 60, ... of them, as `looks` says, and
counting ends when its confidence sequence has put it on one side of every radius or has
no vote left. Each certificate is wrong with probability at most alpha, although the
votes decide how many there are. Examples share the device in slots; one that is decided
makes room for the next. What is found about an example depends on its key and the tile,
not on its company.

Source: confidence sequences as in `sequential`; stopping and slots are ours.
"""

import collections
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from advjax.arguments import check_key
from advjax.smoothing.certificates import (
    Certificate,
    Example,
    Tally,
    added,
    certificate_from,
    refuse_no_votes,
)
from advjax.smoothing.noise import AnyNoise, Noise
from advjax.smoothing.planning import plan
from advjax.smoothing.sequential import Bracket, is_settled, looks, narrowed
from advjax.smoothing.slots import Slots, SlotTile, filled, placed, slot_counter
from advjax.smoothing.votes import DEFAULT_CHUNK, checked, default_tile, explained
from advjax.types import AnyCallable

SEQUENTIAL_TILE = 20
"""Copies from one look at a young example to the next: half of what decides most."""

_SLOTS_PER_TILE = 4
"""Slots for each tile that is evaluated at once: of these, half are with the device."""


def certify_sequentially(
    logits_fn: AnyCallable,
    examples: Iterable[Example],
    *,
    noise: AnyNoise,
    radii: Sequence[float],
    num_selection: int = 100,
    num_estimation: int = 100_000,
    alpha: float = 1e-3,
    tile: int | None = None,
    tiles_at_once: int | None = None,
    num_slots: int | None = None,
    chunk: int | None = None,
    mesh: Mesh | None = None,
    on_tally: Callable[[int, Tally], None] | None = None,
) -> Iterator[tuple[int, Certificate]]:
    """Each example's number and certificate, as soon as its radii are decided.

    Args:
        logits_fn: one example to one row of logits, see `count_votes`.
        examples: what to certify, all of one shape.
        noise: the smoothing law.
        radii: the radii that are asked about; whether it abstains is asked always.
        num_selection: votes that choose the class (n0), of each example.
        num_estimation: the most fresh votes for one example (n).
        alpha: probability that a certificate is wrong.
        tile: noisy copies of one example that are evaluated at once; None for
            `SEQUENTIAL_TILE`. It decides which noise is drawn and when votes are
            looked at.
        tiles_at_once: tiles that each device evaluates side by side; None for as many
            as make `default_tile()` copies. It decides memory, and how logits round.
        num_slots: examples that are being counted; does not change the result.
        chunk: how many times `tiles_at_once` tiles each device takes per dispatch, at
            most; does not change the result.
        mesh: devices that share the tiles; does not change the result.
        on_tally: called with an example's number and votes so far, while it goes on.

    Raises:
        ValueError: the request can only abstain, an argument or an example is
            impossible, or the classifier gave finite logits on no noisy copy at all.
        MemoryError: a dispatch does not fit the device.
    """
    plan(
        noise,
        num_selection=num_selection,
        num_estimation=num_estimation,
        alpha=alpha,
        radii=radii,
        bound="sequential",
    )
    tile = SEQUENTIAL_TILE if tile is None else tile
    chunk = DEFAULT_CHUNK if chunk is None else chunk
    if tile < 1:
        raise ValueError(f"tile={tile}: give at least 1.")
    if tiles_at_once is None:
        tiles_at_once = max(1, default_tile() // tile)
    row = tiles_at_once * (1 if mesh is None else mesh.size)
    num_slots = _SLOTS_PER_TILE * row if num_slots is None else num_slots
    count = slot_counter(
        logits_fn, noise=noise, tile=tile, tiles_at_once=tiles_at_once,
        chunk=chunk, mesh=mesh,
    )  # fmt: skip
    ends = looks(tile, num_estimation)
    on_tally = on_tally or (lambda *_: None)
    waiting, slots = enumerate(examples), None
    held: dict[int, _Held] = {}
    free, ready = list(range(num_slots)), collections.deque()
    queued: collections.deque[tuple[jax.Array, list[_Part]]] = collections.deque()
    while True:
        for slot, number, example in _admitted(waiting, free):
            x = checked(
                example.x, num_samples=max(num_selection, num_estimation),
                tile=tile, chunk=chunk, first=0,
            )  # fmt: skip
            check_key(example.key)
            slots = _with_example(slots, num_slots, slot, number, x, example.key)
            held[slot] = _Held(number, example.tally)
            ready.append(slot)
        # One dispatch is with the device while the host reads the other.
        while ready and len(queued) < 2:
            chosen = [
                ready.popleft() for _ in range(min(len(ready), len(held) // 2 + 1))
            ]
            parts, tiles = _dispatched(
                [_next_part(s, held[s].tally, num_selection, ends) for s in chosen],
                tile=tile, row=row, most=chunk * row,
            )  # fmt: skip
            ready.extendleft(reversed(chosen[len(parts) :]))
            queued.append((count(slots, tiles), parts))
        if not queued:
            return
        counts, parts = queued.popleft()
        _add(held, parts, _read(counts), num_selection)
        looked = [p.slot for p in parts if p.half == 1 and p.stop == p.last]
        _look(held, looked, num_estimation=num_estimation, alpha=alpha)
        for slot in [part.slot for part in parts]:
            number, tally = held[slot]
            if slot in looked and is_settled(_bracket(tally), noise, radii):
                free.append(slot)
                del held[slot]
                yield number, _certificate(tally, noise)
            else:
                ready.append(slot)
                on_tally(number, tally)


class _Held(NamedTuple):
    """The example in a slot: its number, and its votes so far."""

    number: int
    tally: Tally


class _Part(NamedTuple):
    """Copies first..stop - 1 of one half of an example, which needs those to `last`."""

    slot: int
    half: int
    first: int
    stop: int
    last: int


def _admitted(
    waiting: Iterator[tuple[int, Example]], free: list[int]
) -> Iterator[tuple[int, int, Example]]:
    """(slot, number, example) for each free slot while there are examples."""
    while free and (new := next(waiting, None)) is not None:
        yield free.pop(), *new


def _with_example(slots, num_slots: int, slot: int, number: int, x, key) -> Slots:
    keys = jax.random.split(key)
    if slots is None:
        return filled(num_slots, x, keys)
    shape, dtype = slots.x.shape[1:], slots.x.dtype
    if (x.shape, x.dtype) != (shape, dtype):
        raise ValueError(
            f"example {number} is {x.dtype}{x.shape}, those before it {dtype}{shape}: "
            "give examples of one shape and type."
        )
    return placed(slots, slot, x, keys)


def _next_part(slot: int, tally: Tally, num_selection: int, ends) -> _Part:
    """All votes that an example needs before it is looked at."""
    if tally.num_selection < num_selection:
        return _Part(slot, 0, tally.num_selection, num_selection, num_selection)
    last = int(ends[np.searchsorted(ends, tally.num_estimation, side="right")])
    return _Part(slot, 1, tally.num_estimation, last, last)


def _dispatched(
    parts: list[_Part], *, tile: int, row: int, most: int
) -> tuple[list[_Part], list[SlotTile]]:
    """The parts, as far as they fit one dispatch of whole rows, and their tiles."""
    tiles = [
        SlotTile(part.slot, part.half, index, part.first, part.last)
        for part in parts
        for index in range(part.first // tile, math.ceil(part.last / tile))
    ]
    room = min(most, len(tiles))
    tiles = tiles[: room - room % row if room > row else room]
    stops = {t.slot: min((t.tile_index + 1) * tile, t.last) for t in tiles}
    # In the order of the parts, so that those cut away are the last.
    return [p._replace(stop=stops[p.slot]) for p in parts if p.slot in stops], tiles


def _read(counts: jax.Array) -> np.ndarray:
    try:
        return np.asarray(counts).astype(np.int64)
    except jax.errors.JaxRuntimeError as error:
        raise explained(error) from error


def _add(
    held: dict[int, _Held], parts: list[_Part], counts: np.ndarray, num_selection: int
) -> None:
    for part in parts:
        number, tally = held[part.slot]
        tally = added(tally, part.half, counts[part.slot], part.stop)
        if tally.num_selection == num_selection:
            refuse_no_votes(tally.selection, num_selection)
        held[part.slot] = _Held(number, tally)


def _look(
    held: dict[int, _Held], slots: list[int], *, num_estimation: int, alpha: float
) -> None:
    """Narrows the brackets of the examples in `slots`, all in one."""
    tallies = [held[slot].tally for slot in slots]
    bracket = narrowed(
        Bracket(
            np.array([tally.lower for tally in tallies]),
            np.array([tally.ceiling for tally in tallies]),
        ),
        np.array([_votes(tally) for tally in tallies], np.int64),
        np.array([tally.num_estimation for tally in tallies], np.int64),
        num_estimation=num_estimation,
        alpha=alpha,
    )
    for slot, tally, lower, ceiling in zip(
        slots, tallies, bracket.lower.tolist(), bracket.ceiling.tolist(), strict=True
    ):
        held[slot] = held[slot]._replace(
            tally=tally._replace(lower=lower, ceiling=ceiling)
        )


def _bracket(tally: Tally) -> Bracket:
    return Bracket(tally.lower, tally.ceiling)


def _votes(tally: Tally) -> int:
    return tally.estimation[int(np.argmax(tally.selection))]


def _certificate(tally: Tally, noise: Noise) -> Certificate:
    return certificate_from(
        int(np.argmax(tally.selection)),
        _votes(tally),
        tally.num_estimation,
        p_lower=tally.lower,
        noise=noise,
    )
