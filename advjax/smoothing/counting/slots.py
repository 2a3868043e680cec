"""Votes of several examples in one dispatch, for examples that share a device.

A dispatch is a list of tiles, of any examples and any halves of their votes. Each copy
is the one that `count_votes` counts: the same key, tile and number. The program
evaluates `tiles_at_once` tiles side by side, so that an accelerator has a large batch
although no example needs many votes, and then the next ones of the list.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float, Int, Shaped

from advjax.runtime.compilation import suits_ynnpack
from advjax.smoothing.counting.tiles import counting_program, num_classes, tile_votes
from advjax.smoothing.counting.votes import explain, partition
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyCallable, Features


class Slots(NamedTuple):
    """The examples that are being counted.

    Attributes:
        x: one example in each slot.
        keys: its keys, one for each half of its votes.
    """

    x: Float[Array, "slots *features"]
    keys: Shaped[Array, "slots 2 *key"]


class SlotTile(NamedTuple):
    """One tile to count.

    Attributes:
        slot: slot of the example.
        half: 0 for the votes that choose the class, 1 for those that bound it.
        tile_index: number of the tile.
        first: number of the first copy that counts.
        last: number of the first copy after those that count.
    """

    slot: int
    half: int
    tile_index: int
    first: int
    last: int


def fill(num_slots: int, x: Features, keys: Shaped[Array, "2 *key"]) -> Slots:
    """Slots that all hold one example."""
    return Slots(
        jnp.broadcast_to(x, (num_slots, *x.shape)),
        jnp.broadcast_to(keys, (num_slots, *keys.shape)),
    )


@jax.jit
def put(
    slots: Slots, slot: int | Int[Array, ""], x: Features, keys: Shaped[Array, "2 *key"]
) -> Slots:
    """The slots with another example in one of them."""
    return Slots(slots.x.at[slot].set(x), slots.keys.at[slot].set(keys))


def slot_counter(
    logits_fn: AnyCallable,
    *,
    noise: AnyNoise,
    tile: int,
    tiles_at_once: int,
    chunk: int,
    mesh: Mesh | None = None,
) -> Callable[[Slots, Sequence[SlotTile]], Int[Array, "slots classes"]]:
    """A function that queues tiles on the device and returns the votes of each slot.

    It takes up to `chunk * tiles_at_once` tiles for each device of the mesh. Reading
    its result waits for the votes.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        noise: the noise distribution.
        tile: noisy copies in a tile.
        tiles_at_once: tiles that each device evaluates side by side.
        chunk: the most rows of such tiles in a dispatch.
        mesh: devices that share the tiles.

    Raises:
        ValueError: raised by the returned function, if the classifier does not give
            one row.
        MemoryError: raised by the returned function, if so many copies do not fit.
    """
    devices = 1 if mesh is None else mesh.size

    def everywhere(operand):
        if mesh is None:
            return operand
        return jax.device_put(operand, NamedSharding(mesh, PartitionSpec()))

    room = chunk * devices * tiles_at_once
    parts = []

    def count(slots, tiles):
        if not parts:
            arrays, static = partition(logits_fn, noise, slots.x[0], mesh)
            program = slots_program(tile, mesh, ynnpack=suits_ynnpack(arrays[0]))
            parts[:] = program, static, everywhere(arrays)
        # The remaining tiles count no copy.
        listed = np.zeros((room, len(SlotTile._fields)), np.int32)
        listed[: len(tiles)] = tiles
        program, *operands = parts
        try:
            return program(
                *operands,
                everywhere(slots),
                listed.reshape(-1, tiles_at_once, len(SlotTile._fields)),
                np.int32(-(-len(tiles) // tiles_at_once)),
            )
        except jax.errors.JaxRuntimeError as error:
            raise explain(error) from error

    return count


@functools.cache
def slots_program(
    tile: int, mesh: Mesh | None, *, ynnpack: bool = False
) -> Callable[..., Int[Array, "slots classes"]]:
    """The compiled count for one tile size, set of devices and way to convolve."""
    return counting_program(functools.partial(_count_rows, tile), mesh, ynnpack=ynnpack)


def _count_rows(tile, static, device, num_devices, arrays, slots, listed, num_rows):
    """Votes in every num_devices-th row of tiles, from row number `device` on."""

    def votes(slot, half, tile_index, first, last):
        return tile_votes(
            static, arrays, slots.x[slot], slots.keys[slot, half],
            tile=tile, tile_index=tile_index, first=first, last=last,
        )  # fmt: skip

    def add_row(step, counts):
        row = listed[device + step * num_devices]
        return counts.at[row[:, 0]].add(jax.vmap(votes)(*row.T))

    none = jnp.zeros((len(slots.x), num_classes(static, arrays, slots.x[0])), jnp.int32)
    num_steps = (num_rows - device + num_devices - 1) // num_devices
    return jax.lax.fori_loop(0, num_steps, add_row, none)
