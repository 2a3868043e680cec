"""The largest tile of noisy copies that the free memory holds."""

import jax
import numpy as np
from jax.sharding import Mesh

from advjax.runtime.memory import free_host_memory
from advjax.smoothing.counting.placement import default_tile
from advjax.smoothing.counting.votes import as_example, bind, explain
from advjax.smoothing.laws.base import AnyNoise
from advjax.types import AnyArray, AnyCallable


def fitting_tile(
    logits_fn: AnyCallable,
    x: AnyArray,
    *,
    noise: AnyNoise,
    tile: int | None = None,
    mesh: Mesh | None = None,
) -> int:
    """`tile`, or the first of its halves whose program runs in the memory that is free.

    The compiler states what a program needs; the device or the operating system states
    the free memory. A tile that should fit is tried, and halved if it does not.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        x: an example; the others need as much.
        noise: the noise distribution.
        tile: the largest tile wanted; None for `default_tile()`.
        mesh: devices that share the tiles.

    Raises:
        ValueError: the arguments are those that `count_votes` refuses.
        MemoryError: not even one noisy copy fits.
    """
    tile = default_tile() if tile is None else tile
    x = as_example(x, num_samples=1, tile=tile, chunk=1, first=0)
    bounds = np.asarray([0, 1, 0, 1], np.int32)
    while True:
        program, operands = bind(logits_fn, x, jax.random.key(0), noise, tile, mesh)
        try:
            needed = _memory_of(program.lower(*operands, bounds).compile())
            if needed <= _free_memory(mesh):
                np.asarray(program(*operands, bounds))
                return tile
        except jax.errors.JaxRuntimeError as error:
            if not isinstance(explain(error), MemoryError):
                raise
        if tile == 1:
            raise MemoryError(
                "not even one noisy copy fits the device: take a smaller network or "
                "a device with more memory"
            )
        tile //= 2


def _memory_of(compiled) -> int:
    """Bytes of a program on each device: arguments, results and all in between."""
    sizes = compiled.memory_analysis()
    return (
        sizes.argument_size_in_bytes
        + sizes.output_size_in_bytes
        + sizes.temp_size_in_bytes
    )


def _free_memory(mesh: Mesh | None) -> float:
    """Bytes that a program may take on a device; infinity where nothing tells."""
    device = jax.local_devices()[0] if mesh is None else mesh.local_devices[0]
    told = device.memory_stats()
    if told is not None:
        return told["bytes_limit"] - told["bytes_in_use"]
    share = 1 if mesh is None else len(mesh.local_devices)
    return free_host_memory() / share
