"""Batches: their rows, and their place on the devices that share them."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Bool, Int, Num

from advjax.runtime.parallel import replicate, split_batch
from advjax.training.recipe import Recipe
from advjax.types import Batch, PyTree


class Dataset(NamedTuple):
    """Examples of one split on the host, at some stage of the chain.

    `x` is either that stage's float array or, for any stage, the stored int16 audio.
    """

    x: Num[np.ndarray, "examples *shape"]
    y: Int[np.ndarray, "examples"]
    verified: Bool[np.ndarray, "examples"] | None = None


@functools.lru_cache(maxsize=2)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def batch_rows(
    labels: Int[np.ndarray, "examples"], recipe: Recipe, seed: int, step: int
) -> Int[np.ndarray, "batch"]:
    """Rows of batch `step`: whole batches of one shuffled epoch after another.

    Balanced ones are drawn anew for every batch, with replacement.
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
    """As many devices as divide the batch evenly, equally many of each process."""
    owned: dict[int, list[jax.Device]] = {}
    for device in devices or jax.devices():
        owned.setdefault(device.process_index, []).append(device)
    if batch_size % len(owned):
        # Every process takes every step, then, and has the same weights in the end.
        owned = {0: owned[jax.process_index()]}
    most = min(map(len, owned.values()))
    share = max(n for n in range(1, most + 1) if batch_size // len(owned) % n == 0)
    return [device for mine in owned.values() for device in mine[:share]]


def everywhere(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays that are equal in every process, whole on every device of the mesh."""
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(
            a.shape, replicate(mesh), lambda index: a[index]
        ),
        jax.device_get(tree),
    )


def split(data: Dataset, rows: Int[np.ndarray, "batch"], mesh: Mesh) -> Batch:
    """Those rows, split over the mesh, or whole on each device if they do not divide.

    Each process reads the rows of its own devices alone.
    """
    sharding = replicate(mesh) if len(rows) % mesh.size else split_batch(mesh)

    def placed(a):
        return jax.make_array_from_callback(
            (len(rows), *a.shape[1:]), sharding, lambda index: a[rows[index[0]]]
        )

    return Batch(*(None if part is None else placed(part) for part in data))
