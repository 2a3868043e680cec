"""Default sizes of a task, by the machine that runs it."""

from collections.abc import Mapping
from typing import NamedTuple

import jax

from advjax.training import Recipe


class Size(NamedTuple):
    """Size for a machine: a demonstration on a CPU, the publication on the rest."""

    model: str
    crops: Mapping[str, int]
    recipe: Recipe
    num_selection: int
    num_estimation: int
    num_points: int


CPU = Size(
    model="rescnn(width=8, dropout=0.2)",
    crops={"train": 150, "validation": 15, "test": 20},
    recipe=Recipe(
        num_steps=150,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        validate_every=30,
        stop_patience=0,
    ),
    num_selection=100,
    num_estimation=1000,
    num_points=30,
)
# Crops, epochs, batch, n0, n and points of O'Reilly and deep-speaker; 6,000 crops in
# batches of 96 are 62 steps an epoch.
PUBLICATION = Size(
    model="rescnn(width=64)",
    crops={"train": 600, "validation": 60, "test": 100},
    recipe=Recipe(num_steps=62_000, batch_size=96, validate_every=62),
    num_selection=500,
    num_estimation=10_000,
    num_points=300,
)


def size_of(backend: str) -> Size:
    """The default size on a JAX backend."""
    return CPU if backend == "cpu" else PUBLICATION


def training_devices() -> list[jax.Device]:
    """All of them; on a CPU one of each process, which has all of its cores.

    There the step is no loop, so XLA spreads all of it over the cores by itself.
    """
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return devices
    first = {device.process_index: device for device in reversed(devices)}
    return [first[index] for index in sorted(first)]
