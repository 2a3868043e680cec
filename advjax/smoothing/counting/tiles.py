"""Votes of one tile of noisy copies, the body of every counting program."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec
from jaxtyping import Array, Int

from advjax.callables import apply, join
from advjax.runtime.compilation import compiler_options
from advjax.types import Features, Key


def tile_votes(
    static: Any,
    arrays: Any,
    x: Features,
    key: Key,
    *,
    tile: int,
    tile_index: Int[Array, ""],
    first: Int[Array, ""],
    last: Int[Array, ""],
) -> Int[Array, "classes"]:
    """Votes of those copies of one tile that lie in first..last - 1.

    Args:
        static: the static parts of the classifier and of the noise, as of `split`.
        arrays: the arrays of both.
        x: one example.
        key: the key of the count.
        tile: copies in a tile.
        tile_index: the number of the tile.
        first: number of the first copy that counts.
        last: number of the first copy after those that count.
    """
    sample = join(arrays[1], static[1])
    keys = jax.random.split(jax.random.fold_in(key, tile_index), tile)
    noisy = jax.vmap(sample, in_axes=(0, None))(keys, x)
    logits = jax.vmap(functools.partial(apply, static[0], arrays[0]))(noisy)
    copy = tile_index * tile + jnp.arange(tile, dtype=jnp.int32)
    counted = (copy >= first) & (copy < last)
    counted &= jnp.isfinite(logits.max(axis=-1))
    # The class after the last has no column in the one-hot rows.
    vote = jnp.where(counted, jnp.argmax(logits, axis=-1), logits.shape[-1])
    votes = jax.nn.one_hot(vote, logits.shape[-1], dtype=jnp.int32)
    return votes.sum(axis=0, dtype=jnp.int32)


def counting_program(
    count: Callable[..., Int[Array, "..."]], mesh: Mesh | None, *, ynnpack: bool
) -> Callable[..., Int[Array, "..."]]:
    """Compile `count` for a mesh whose devices share the work, and sum their votes.

    Args:
        count: takes (static, device, num_devices, *operands) and returns the votes that
            this one of the devices counts; `static` are the static parts of `split`.
        mesh: the devices; None for one.
        ynnpack: as of `compiler_options`.

    Returns:
        A function of (static, *operands), the operands whole on every device.
    """

    def whole(static, *operands):
        if mesh is None:
            return count(static, 0, 1, *operands)

        def on_device(*operands):
            device = jax.lax.axis_index(mesh.axis_names)
            votes = count(static, device, mesh.size, *operands)
            return jax.lax.psum(votes, mesh.axis_names)

        # check_vma would refuse a user's own loops: their initial values are equal on
        # all devices, and the noise is not.
        everywhere = PartitionSpec()
        return jax.shard_map(
            on_device,
            mesh=mesh,
            in_specs=everywhere,
            out_specs=everywhere,
            check_vma=False,
        )(*operands)

    options = compiler_options(mesh, ynnpack=ynnpack)
    return jax.jit(whole, static_argnums=0, compiler_options=options)


def num_classes(static: Any, arrays: Any, x: Features) -> int:
    """Number of classes of the classifier that `split` took apart."""
    return jax.eval_shape(functools.partial(apply, static[0]), arrays[0], x).shape[0]
