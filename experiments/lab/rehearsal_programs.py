"""The programs of an accelerator, at the sizes of the publication.

Each is built by the functions that run it, with shapes in the place of arrays.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from advjax import catalog, smoothing
from advjax.classifier import Classifier
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from advjax.runtime.parallel import replicate
from advjax.smoothing.counting import scheduler, slots, votes
from advjax.smoothing.counting.placement import DEFAULT_CHUNK, default_tile
from experiments.lab import presets

NUM_CLASSES = 10
SIGMA = 0.25
STAGES = ("waveform", "magnitude", "mfbe")
PRECISIONS = ("float32", "tf32", "bfloat16")


class Lowering(NamedTuple):
    """A function as `jax.jit` returns it, and the shapes of its arguments."""

    function: Any
    arguments: tuple[Any, ...]


class Program(NamedTuple):
    """One program of the table.

    Attributes:
        unit: of its work, in the plural.
        size: of the work at once on each device, called at the target; halved until it
            fits: `size_name` says of what.
        size_name: tile, slots or batch.
        precision: of the network.
        build: makes it for a mesh and a size.
        units: of a run or, `in_loop`, of a round of its loop, for devices and size.
        in_loop: a run is a loop of unknown length.
        platforms: where it is in the table.
    """

    unit: str
    size: Callable[[], int]
    size_name: str
    precision: str
    build: Callable[[Mesh, int], Lowering]
    units: Callable[[int, int], int] = lambda devices, size: devices * size
    in_loop: bool = False
    platforms: tuple[str, ...] = ("gpu",)


def shapes(tree: Any, sharding: Any) -> Any:
    """Shapes of a tree's arrays, with a sharding."""
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding),
        tree,
    )


def _keys(*sizes: int) -> jax.ShapeDtypeStruct:
    return jax.eval_shape(
        lambda: jnp.broadcast_to(jax.random.key(0), sizes)  # of their own type
    )


def _classifier(
    model: str = presets.PUBLICATION.model, features: str = "mfbe"
) -> Classifier:
    """A classifier whose weights are shapes."""
    representation = catalog.pick(features, FRONT_ENDS)
    module = catalog.pick(model, MODELS, num_classes=NUM_CLASSES)
    x = jnp.zeros((1, *representation.feature_shape))
    init = functools.partial(module.init, train=False)
    variables = jax.eval_shape(init, jax.random.key(0), x)
    labels = tuple(map(str, range(NUM_CLASSES)))
    return Classifier(variables, module, representation, labels)


def _shared(mesh: Mesh) -> Mesh | None:
    """The mesh of a program, as programs choose it: none for one device."""
    return mesh if mesh.size > 1 else None


def counting(at: str, precision: str, mesh: Mesh, tile: int) -> Lowering:
    """Votes of a fixed number of copies of one example."""
    classifier = _classifier()
    stage = classifier.representation.stage(at)
    x = jax.ShapeDtypeStruct(stage.feature_shape, jnp.float32)
    logits_fn = classifier.logits_fn(at, precision=precision)
    arrays, static = votes.partition(logits_fn, smoothing.gaussian(SIGMA), x)
    bounds = jax.ShapeDtypeStruct((4,), jnp.int32)
    operands = shapes((arrays, x, _keys(), bounds), replicate(mesh))
    return Lowering(votes.count_program(tile, _shared(mesh)), (static, *operands))


def sequential(at: str, precision: str, mesh: Mesh, copies: int) -> Lowering:
    """Votes of several examples, each in tiles of its own."""
    tile = min(smoothing.Sequential().default_tile(), copies)
    tiles_at_once = copies // tile
    classifier = _classifier()
    shape = classifier.representation.stage(at).feature_shape
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    logits_fn = classifier.logits_fn(at, precision=precision)
    arrays, static = votes.partition(logits_fn, smoothing.gaussian(SIGMA), x)
    num_slots = scheduler.SLOTS_PER_TILE * tiles_at_once * mesh.size
    held = slots.Slots(
        jax.ShapeDtypeStruct((num_slots, *shape), jnp.float32), _keys(num_slots, 2)
    )
    rows = (DEFAULT_CHUNK * mesh.size, tiles_at_once, len(slots.SlotTile._fields))
    listed = jax.ShapeDtypeStruct(rows, jnp.int32)
    num_rows = jax.ShapeDtypeStruct((), jnp.int32)
    operands = shapes((arrays, held, listed, num_rows), replicate(mesh))
    return Lowering(slots.slots_program(tile, _shared(mesh)), (static, *operands))


def _counting_programs() -> dict[str, Program]:
    found = {}
    for at in STAGES:
        for precision in PRECISIONS:
            on_tpu = precision == "bfloat16" or (precision, at) == ("float32", "mfbe")
            for name, count in (("fixed", counting), ("sequential", sequential)):
                also = ("tpu",) if on_tpu and name == "fixed" else ()
                found[f"certify-{at}-{precision}-{name}"] = Program(
                    "votes", default_tile, "tile", precision,
                    functools.partial(count, at, precision),
                    in_loop=True, platforms=("gpu", *also),
                )  # fmt: skip
    return found


PROGRAMS: Mapping[str, Program] = {**_counting_programs()}
