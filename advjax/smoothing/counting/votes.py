"""Votes of a classifier over noisy copies of one example, counted in the program.

Votes are counted in tiles. The compiled body always evaluates `tile` noisy copies: copy
i belongs to tile t = i // tile, whose keys are the split of `fold_in(key, t)`. Copies
outside the asked range are evaluated and masked. So the counts depend on the key, the
tile and the range alone: not on the tiles per dispatch, the devices or where a count
was interrupted. Another tile draws other noise and is another, equally valid, sample.
On a GPU this holds up to rounding: XLA chooses the algorithm of a convolution by its
time, and may choose another one for a program that is compiled anew.

One compiled program serves every range, chunk, scale of noise and, for classifiers
given as pytrees, every set of weights. Each copy has its own key, because a noise
distribution is a function of one example. On small convolutional networks on CPU this
took as long, within the timing's spread, as one draw for the whole tile.
"""

import collections
import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Int

from advjax.arguments import (
    check_callable,
    check_key,
    float_example,
    is_traced,
    num_classes_of,
)
from advjax.callables import split
from advjax.prepared import prepared
from advjax.runtime.compilation import suits_ynnpack
from advjax.runtime.failures import is_out_of_memory
from advjax.smoothing.counting.placement import DEFAULT_PLACEMENT, Placement
from advjax.smoothing.counting.tiles import counting_program, num_classes, tile_votes
from advjax.smoothing.counting.workers import Counts
from advjax.smoothing.noises.base import AnyNoise, check_noise
from advjax.types import AnyArray, AnyCallable, Features, Key

_MOST_COPIES = 2**31 - 1
T = TypeVar("T")


class Part(NamedTuple):
    """Votes of the copies of one dispatch; the device may still be counting them.

    Attributes:
        counts: votes of each class.
        stop: the number of the first copy after them.
    """

    counts: Int[Array, "classes"] | Counts
    stop: int


def count_votes(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_samples: int,
    placement: Placement = DEFAULT_PLACEMENT,
    first: int = 0,
) -> Int[np.ndarray, "classes"]:
    """Votes of each class among the noisy copies first..first + num_samples - 1.

    A copy whose largest logit is not finite (a NaN anywhere, or an overflow) votes for
    no class: it would win class 0 otherwise. The counts then sum to less than
    `num_samples`, which only lowers what they certify. Logits of -inf may lose.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        x: one example, floating and finite.
        key: the key of this count.
        noise: the noise distribution.
        num_samples: noisy copies to count.
        placement: the layout of the copies on the devices. Its tile decides memory, and
            which noise is drawn.
        first: number of the first copy to count. A count up to copy m and another
            with `first=m` add up to the uninterrupted one, wherever m lies in a tile.

    Returns:
        int64 counts on the host.

    Raises:
        ValueError: impossible arguments, an input that is not finite, or a classifier
            that does not return one row.
        MemoryError: a tile does not fit the device.
    """
    queued = queue_votes(
        logits_fn, x, key, noise=noise, num_samples=num_samples, placement=placement,
        first=first,
    )  # fmt: skip
    return sum(counts for _, counts, _ in read_late((None, part) for part in queued))


def queue_votes(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_samples: int,
    placement: Placement = DEFAULT_PLACEMENT,
    first: int = 0,
) -> Iterator[Part]:
    """Yield the parts of `count_votes`, each queued on the device when requested.

    Arguments and errors are those of `count_votes`. Reading `counts` waits for them;
    `read_late` reads them while the device works on the next part.
    """
    tile, chunk, mesh, *_ = placement.complete()
    x = as_example(x, num_samples=num_samples, tile=tile, chunk=chunk, first=first)
    check_key(key)
    last = first + num_samples
    start, end_tile = first // tile, -(-last // tile)
    before = None
    while start < end_tile:
        here = placement.of_next_dispatch()
        if here != before:
            if here.workers is None:
                program, operands = bind(logits_fn, x, key, noise, tile, mesh)
            else:
                program = functools.partial(
                    here.workers.count_votes, logits_fn, noise=noise, tile=tile
                )
                operands = (x, key)
            before = here
        stop = min(start + chunk * here.num_devices, end_tile)
        bounds = np.asarray([start, stop, first, last], np.int32)
        try:
            counts = program(*operands, bounds)
        except jax.errors.JaxRuntimeError as error:
            raise explain(error) from error
        yield Part(counts, min(stop * tile, last))
        start = stop


def read_late(
    queued: Iterable[tuple[T, Part | None]],
) -> Iterator[tuple[T, Int[np.ndarray, "classes"] | None, int]]:
    """Yield each part's tag, its counts on the host, and where it stops.

    A part is read once the next one is queued, of the next example too: the device
    never waits for the host. A tag without a part gives None and 0, after all parts
    before it are read. The failure of a later part is raised at that time, too.
    """
    waiting, queued = collections.deque(), iter(queued)
    while True:
        try:
            tag, part = next(queued)
        except StopIteration:
            yield from map(_read, waiting)
            return
        except Exception:
            yield from map(_read, waiting)
            raise
        waiting.append((tag, part))
        while part is not None and len(waiting) > 1:
            yield _read(waiting.popleft())


def _read(item):
    tag, part = item
    if part is None:
        return tag, None, 0
    try:
        return tag, np.asarray(part.counts).astype(np.int64), part.stop
    except jax.errors.JaxRuntimeError as error:
        raise explain(error) from error


def bind(logits_fn, x, key, noise, tile, mesh):
    """The compiled count and all its arguments except the bounds."""
    arrays, static = partition(logits_fn, noise, x, mesh)
    operands = (arrays, x, key)
    if mesh is not None:
        operands = jax.device_put(operands, NamedSharding(mesh, PartitionSpec()))
    program = count_program(tile, mesh, ynnpack=suits_ynnpack(arrays[0]))
    return program, (static, *operands)


def partition(
    logits_fn: AnyCallable,
    noise: AnyNoise,
    x: Features | jax.ShapeDtypeStruct,
    mesh: Mesh | None,
) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Arrays and static parts of a prepared classifier and of a noise distribution.

    Raises:
        ValueError: no noise distribution, or no function from `x` to logits.
    """
    check_noise(noise)
    check_callable(logits_fn)
    num_classes_of(*split(logits_fn), x)
    ready = prepared(logits_fn, x, mesh)
    arrays, static = zip(split(ready), split(noise.sample), strict=True)
    return arrays, static


def as_example(
    x: AnyArray,
    *,
    num_samples: int,
    tile: int,
    chunk: int,
    first: int,
) -> Features:
    """The example for a count, after the checks of `count_votes`."""
    for name, value in (("num_samples", num_samples), ("tile", tile), ("chunk", chunk)):
        if value < 1:
            raise ValueError(f"{name}={value}: give at least 1.")
    if first < 0:
        raise ValueError(f"first={first}: give the number of a copy, 0 or more.")
    if first + num_samples + tile > _MOST_COPIES:
        raise ValueError(
            f"{num_samples} copies from copy {first} pass the {_MOST_COPIES} that an "
            "int32 can number: use another key for the rest."
        )
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if is_traced(x):
        raise ValueError(
            "x is traced by jit, vmap or grad: call the function outside of them. It "
            "compiles its own program."
        )
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(
            f"the input holds {x.dtype} and smoothing adds real noise: convert the "
            "example to float32 first."
        )
    if x.dtype == np.float64 and not jax.config.jax_enable_x64:
        x = float_example(x)
    # On the host: a device would first finish its work on the example before.
    if not np.isfinite(np.asarray(x)).all():
        raise ValueError(
            "the input holds NaN or infinity and cannot be smoothed: check how this "
            "example was read."
        )
    return jnp.asarray(x)


@functools.cache
def count_program(
    tile: int, mesh: Mesh | None, *, ynnpack: bool = False
) -> Callable[..., Int[Array, "classes"]]:
    """The compiled count for one tile size, set of devices and way to convolve.

    Its arguments: the static and the traced part of (classifier, noise), the example,
    the key, and the int32 first tile, end tile, first copy and end copy.
    """
    return counting_program(
        functools.partial(_count_tiles, tile), mesh, ynnpack=ynnpack
    )


def _count_tiles(tile, static, device, num_devices, arrays, x, key, bounds):
    """Votes in every num_devices-th tile of start..stop - 1, from start + device on."""
    start, stop, first, last = bounds
    start = start + device
    num_steps = jnp.maximum(0, (stop - start + num_devices - 1) // num_devices)

    def add_tile(step, counts):
        tile_index = start + step * num_devices
        return counts + tile_votes(
            static, arrays, x, key, tile=tile, tile_index=tile_index,
            first=first, last=last,
        )  # fmt: skip

    none = jnp.zeros(num_classes(static, arrays, x), jnp.int32)
    return jax.lax.fori_loop(0, num_steps, add_tile, none)


def explain(error: jax.errors.JaxRuntimeError) -> Exception:
    """The error, or advice if memory ran out."""
    if not is_out_of_memory(error):
        return error
    return MemoryError(
        "one tile of noisy copies does not fit the device: choose a smaller tile, as "
        "`smoothing.fitting_tile` finds it. Fewer tiles per dispatch do not help."
    )
