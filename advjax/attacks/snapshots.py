"""A batch in mid-attack as a file, so that a long attack survives a kill.

The file is an `.npz` of plain arrays; nothing in it is ever unpickled.
"""

import os
import pathlib
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from advjax.attacks.base import Attack
from advjax.attacks.batches import Slots
from advjax.types import Features, LogitsFn


def save(path: pathlib.Path, slots: Slots, ids: Sequence[str]) -> None:
    """Nothing; writes `slots` and the ids of the examples they number, or neither."""
    leaves = {
        f"leaf{number}": np.asarray(
            jax.random.key_data(leaf) if _is_key(leaf) else leaf
        )
        for number, leaf in enumerate(jax.tree.leaves(slots.state))
    }
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        np.savez(
            file,
            ids=np.asarray(list(ids), np.str_),
            steps=slots.steps,
            example=slots.example,
            following=slots.following,
            **leaves,
        )
        file.flush()
        os.fsync(file.fileno())
    os.replace(partial, path)


def load(
    path: pathlib.Path, attack: Attack, logits_fn: LogitsFn, x: Features
) -> tuple[Slots, list[str]]:
    """What `save` wrote.

    Args:
        path: the file.
        attack: the attack that was under way.
        logits_fn: what it was attacking.
        x: any example, for the shapes.

    Raises:
        ValueError: the file is cut short or belongs to another attack.
    """
    one = jax.eval_shape(
        lambda x, key: attack.init(logits_fn, x, jnp.int32(0), key, jnp.float32(0)),
        x,
        jax.random.key(0),
    )
    like, structure = jax.tree.flatten(one)
    try:
        with np.load(path, allow_pickle=False) as found:
            ids = [str(id) for id in found["ids"]]
            arrays = [found[f"leaf{number}"] for number in range(len(like))]
            leaves = [
                jax.random.wrap_key_data(a) if _is_key(t) else jnp.asarray(a)
                for a, t in zip(arrays, like, strict=True)
            ]
            for leaf, template in zip(leaves, like, strict=True):
                if leaf.shape[1:] != template.shape or leaf.dtype != template.dtype:
                    raise ValueError("it has arrays of other shapes")
            slots = Slots(
                jax.tree.unflatten(structure, leaves),
                found["steps"],
                found["example"],
                int(found["following"]),
            )
    except Exception as error:  # noqa: BLE001  zip and NumPy raise many kinds
        raise ValueError(
            f"{path} cannot be continued ({error}): delete it, and the examples in "
            "mid-attack start anew"
        ) from error
    return slots, ids


def _is_key(leaf) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
