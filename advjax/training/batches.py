"""Batches: their rows, their reading ahead, and their placement on devices."""

import collections
import concurrent.futures
import contextlib
import functools
import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int, Num

from advjax.runtime.parallel import replicate, split_batch
from advjax.training.recipe import Recipe
from advjax.types import Batch, PyTree

AHEAD = 2
"""Batches that are read while a step runs."""


@runtime_checkable
class Rows(Protocol):
    """An array that gives rows by number, such as `records.Column`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the whole array, [examples, ...]."""

    @property
    def dtype(self) -> np.dtype:
        """Type of its entries."""

    def __getitem__(self, rows: Any) -> Any:
        """The rows in this order, in memory."""


class Dataset(NamedTuple):
    """Examples of one split on the host, at some stage of the chain.

    Attributes:
        x: floats at that stage or, for any stage, the stored int16 audio; in memory, or
            read from disk when a batch needs them.
        y: labels.
        verified: whether a person has checked each label; None if unknown.
    """

    x: Num[np.ndarray, "examples *shape"] | Rows
    y: Int[np.ndarray, "examples"]
    verified: Bool[np.ndarray, "examples"] | None = None


@functools.lru_cache(maxsize=2)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def batch_rows(
    labels: Int[np.ndarray, "examples"], recipe: Recipe, seed: int, step: int
) -> Int[np.ndarray, "batch"]:
    """Rows of batch `step`: consecutive whole batches of shuffled epochs.

    With `recipe.balanced`, each batch is drawn anew with replacement, uniformly over
    classes.
    """
    if recipe.balanced:
        rng = np.random.default_rng([seed, step, 1])
        order = np.argsort(labels, kind="stable")
        present, first, count = np.unique(
            labels[order], return_index=True, return_counts=True
        )
        drawn = rng.integers(len(present), size=recipe.batch_size)
        place = rng.random(recipe.batch_size) * count[drawn]
        return order[first[drawn] + place.astype(int)]
    epoch, place = divmod(step, len(labels) // recipe.batch_size)
    order = _epoch_order(len(labels), seed, epoch)
    return order[place * recipe.batch_size : (place + 1) * recipe.batch_size]


def devices_for(batch_size: int, devices: Sequence[jax.Device] | None = None) -> list:
    """The devices that share a batch: as many as divide it evenly.

    Each process has equally many of them. If the processes cannot share a batch
    equally, each takes every step by itself, and all end with the same weights.

    Args:
        batch_size: examples in a batch.
        devices: candidates, of all processes; None for all devices.
    """
    owned: dict[int, list[jax.Device]] = {}
    for device in devices or jax.devices():
        owned.setdefault(device.process_index, []).append(device)
    if batch_size % len(owned):
        # Every process then takes every step by itself.
        owned = {0: owned[jax.process_index()]}
    most = min(map(len, owned.values()))
    share = max(n for n in range(1, most + 1) if batch_size // len(owned) % n == 0)
    return [device for mine in owned.values() for device in mine[:share]]


def replicate_arrays(tree: PyTree, mesh: Mesh) -> PyTree:
    """Copy arrays, equal in all processes, to every device of the mesh."""
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(
            a.shape, replicate(mesh), lambda index: a[index]
        ),
        jax.device_get(tree),
    )


def split(data: Dataset, rows: Int[np.ndarray, "batch"], mesh: Mesh) -> Batch:
    """The batch of those rows, split over the mesh or, if indivisible, copied.

    Each process reads only the rows of its own devices.
    """
    sharding = replicate(mesh) if len(rows) % mesh.size else split_batch(mesh)

    def place(a):
        return jax.make_array_from_callback(
            (len(rows), *a.shape[1:]), sharding, lambda index: a[rows[index[0]]]
        )

    return Batch(*(None if part is None else place(part) for part in data))


@contextlib.contextmanager
def batches_ahead(
    data: Dataset, rows: Iterable[Int[np.ndarray, "batch"]], mesh: Mesh
) -> Iterator[Iterator[Batch]]:
    """Batches of these rows, read and placed by a thread while the caller computes.

    An error of the thread, such as a damaged record, is raised where its batch is
    asked for.
    """
    waiting, rows = collections.deque(), iter(rows)
    with concurrent.futures.ThreadPoolExecutor(1, "batches") as reader:

        def read(count: int) -> None:
            for batch in itertools.islice(rows, count):
                waiting.append(reader.submit(split, data, batch, mesh))

        def batches() -> Iterator[Batch]:
            read(AHEAD)
            while waiting:
                batch = waiting.popleft().result()
                read(1)
                yield batch

        try:
            yield batches()
        finally:
            reader.shutdown(cancel_futures=True)
