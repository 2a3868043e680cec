"""Snapshots of a batch in mid-attack, for resuming after a kill.

A snapshot is an `.npz` of plain arrays and their digest. Nothing is unpickled, and
every shape, type and number is checked before it is used.
"""

import hashlib
import json
import math
import os
import pathlib
import zipfile
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from advjax.attacks.base import Attack
from advjax.attacks.batches import BatchState
from advjax.runtime.atomic import new_file
from advjax.runtime.text import printable
from advjax.types import Features, LogitsFn

_MOST_SLOTS = 1 << 20


def save(path: pathlib.Path, slots: BatchState, ids: Sequence[str]) -> None:
    """Write `slots` and the ids of their examples, whole or not at all.

    Raises:
        OSError: the disk is full or failing.
    """
    leaves = {
        f"leaf{number}": np.asarray(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for number, leaf in enumerate(jax.tree.leaves(slots.state))
    }
    arrays = leaves | {
        # As bytes: NumPy's texts lose zeros at the end.
        "ids": np.frombuffer(json.dumps(list(ids)).encode(), np.uint8),
        "steps": np.asarray(slots.steps, np.int32),
        "example": np.asarray(slots.example, np.int64),
        "following": np.asarray(slots.following, np.int64),
    }
    with new_file(path) as aside, aside.open("wb") as file:
        np.savez(file, digest=_digest(arrays), **arrays)


def load(
    path: pathlib.Path, attack: Attack, logits_fn: LogitsFn, x: Features
) -> tuple[BatchState, list[str]]:
    """Read a snapshot written by `save`.

    Args:
        path: the file.
        attack: the attack that was running.
        logits_fn: the attacked classifier.
        x: any example, for the shapes.

    Raises:
        ValueError: the file is cut short or altered, or belongs to another attack.
    """
    one = jax.eval_shape(
        lambda x, key: attack.init(logits_fn, x, jnp.int32(0), key, jnp.float32(0)),
        x,
        jax.random.key(0),
    )
    like, structure = jax.tree.flatten(one)
    stored = [
        jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        for leaf in like
    ]
    try:
        arrays = _arrays(path, stored)
        ids = _ids(arrays["ids"])
        leaves = [
            jax.random.wrap_key_data(array) if _is_key(leaf) else jnp.asarray(array)
            for leaf, array in zip(
                like, (arrays[f"leaf{n}"] for n in range(len(like))), strict=True
            )
        ]
        slots = BatchState(
            state=jax.tree.unflatten(structure, leaves),
            steps=arrays["steps"],
            example=arrays["example"],
            following=int(arrays["following"]),
        )
        _check(slots, len(ids), attack.max_steps)
    except Exception as error:  # noqa: BLE001  zip and NumPy raise many kinds
        reason = printable(str(error)) or type(error).__name__
        raise ValueError(
            f"{printable(str(path))} cannot be continued ({reason}): delete it to "
            "start its examples again"
        ) from error
    return slots, ids


def _arrays(path: pathlib.Path, stored: Sequence[jax.ShapeDtypeStruct]):
    """The arrays of a file, each checked for its shape and type."""
    total = os.stat(path).st_size
    with zipfile.ZipFile(path) as archive:
        steps = _array(archive, "steps", np.int32, (None,), total)
        slots = len(steps)
        if not 1 <= slots <= _MOST_SLOTS:
            raise ValueError(f"it has {slots} slots")
        shapes = {
            "ids": (np.uint8, (None,)),
            "steps": (np.int32, (slots,)),
            "example": (np.int64, (slots,)),
            "following": (np.int64, ()),
        } | {
            f"leaf{number}": (leaf.dtype, (slots, *leaf.shape))
            for number, leaf in enumerate(stored)
        }
        wanted = {f"{name}.npy" for name in (*shapes, "digest")}
        if sorted(archive.namelist()) != sorted(wanted):
            raise ValueError("it has other arrays than this attack")
        arrays = {
            name: _array(archive, name, dtype, shape, total)
            for name, (dtype, shape) in shapes.items()
        }
        digest = _array(archive, "digest", np.uint8, (32,), total)
    if not np.array_equal(digest, _digest(arrays)):
        raise ValueError("its content is not what was saved")
    return arrays


def _array(
    archive: zipfile.ZipFile, name: str, dtype, shape: tuple, most: int
) -> np.ndarray:
    """One array; at most one of its axes may have any length."""
    info = archive.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED or info.file_size > most:
        raise ValueError(f"{name} is not stored as it was saved")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"{name} has a header of another version")
        found, by_column, there = np.lib.format.read_array_header_1_0(file)
        same = len(found) == len(shape) and all(
            want in (None, have) for want, have in zip(shape, found, strict=True)
        )
        if there != np.dtype(dtype) or not same or (by_column and len(found) > 1):
            raise ValueError(f"it has arrays of other shapes: {name} is {there}{found}")
        size = math.prod(found) * there.itemsize
        if size > most:
            raise ValueError(f"{name} is cut short")
        content = file.read(size + 1)
    if len(content) != size:
        raise ValueError(f"{name} is cut short")
    return np.frombuffer(content, there).reshape(found).copy()


def _ids(content: np.ndarray) -> list[str]:
    ids = json.loads(content.tobytes())
    if not isinstance(ids, list) or not all(isinstance(id, str) for id in ids):
        raise ValueError("its ids are no list of texts")
    if len(set(ids)) < len(ids):
        raise ValueError("an id occurs twice")
    return ids


def _check(slots: BatchState, count: int, max_steps: int) -> None:
    """Refuse slots that are inconsistent with the number of examples or of steps."""
    working = slots.example[slots.example >= 0]
    if not 0 <= slots.following <= count:
        raise ValueError(f"{slots.following} of {count} examples are begun")
    if (slots.example < -1).any() or (working >= slots.following).any():
        raise ValueError("a slot works on an example that is not begun")
    if len(set(working.tolist())) < len(working):
        raise ValueError("two slots work on one example")
    if (slots.steps < 0).any() or (slots.steps > max_steps).any():
        raise ValueError(f"a slot has taken other than 0 to {max_steps} steps")


def _digest(arrays: Mapping[str, np.ndarray]) -> np.ndarray:
    found = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        found.update(f"{name} {array.dtype.str} {arrays[name].shape} ".encode())
        found.update(array.tobytes())
    return np.frombuffer(found.digest(), np.uint8)


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
