"""The largest tile of noisy copies that fits the free memory."""

import jax
import numpy as np
from jax.sharding import Mesh

from advjax.runtime.memory import free_memory, largest_that_fits, program_memory
from advjax.smoothing.counting.placement import default_tile
from advjax.smoothing.counting.votes import as_example, bind
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyArray, AnyCallable


def fitting_tile(
    logits_fn: AnyCallable,
    x: AnyArray,
    *,
    noise: AnyNoise,
    tile: int | None = None,
    mesh: Mesh | None = None,
) -> int:
    """The largest of `tile`, `tile // 2`, ... whose program fits the free memory.

    The compiler states the memory of a program; the device or the operating system
    states the free memory. A tile that should fit is tried, and halved if it fails.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        x: an example; the others need as much memory.
        noise: the noise distribution.
        tile: the largest tile; None for `default_tile()`.
        mesh: devices that share the tiles.

    Raises:
        ValueError: the arguments are those that `count_votes` refuses.
        MemoryError: not even one noisy copy fits.
    """
    tile = default_tile() if tile is None else tile
    x = as_example(x, num_samples=1, tile=tile, chunk=1, first=0)
    bounds = np.asarray([0, 1, 0, 1], np.int32)

    def fits(tile: int) -> bool:
        program, operands = bind(logits_fn, x, jax.random.key(0), noise, tile, mesh)
        needed = program_memory(program.lower(*operands, bounds).compile())
        if needed > free_memory(mesh):
            return False
        np.asarray(program(*operands, bounds))
        return True

    found = largest_that_fits(tile, fits)
    if found is None:
        raise MemoryError(
            "not even one noisy copy fits the device: use a smaller network or a "
            "device with more memory."
        )
    return found
