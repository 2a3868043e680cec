"""The largest number of slots that fits the free memory."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from advjax.attacks.base import Attack
from advjax.attacks.slot_programs import programs
from advjax.callables import split
from advjax.runtime.memory import free_memory, program_memory, ran_out
from advjax.runtime.parallel import replicate, split_batch
from advjax.types import AnyCallable, PyTree


def fitting_slots(
    attack: Attack,
    logits_fn: AnyCallable,
    shape: tuple[int, ...],
    *,
    num_slots: int,
    mesh: Mesh | None = None,
) -> int:
    """The largest of `num_slots`, `num_slots // 2`, ... whose step fits the memory.

    The compiler states the memory of the program that `run_batch` will run; the device
    or the operating system states the free memory.

    Args:
        attack: the attack.
        logits_fn: as for `run_batch`.
        shape: of one example.
        num_slots: the largest number; rounded up to a multiple of the devices.
        mesh: devices of this process that share the slots.

    Raises:
        MemoryError: not even one slot a device fits.
    """
    num_devices = 1 if mesh is None else mesh.size
    each = -(-num_slots // num_devices)
    arrays, static = split(logits_fn)
    if mesh is not None:
        arrays = jax.device_put(arrays, replicate(mesh))
    begin, advance, _ = programs(attack, mesh)

    def needed(count: int) -> int:
        def rows(dtype, *shape):
            return jax.ShapeDtypeStruct((count, *shape), dtype)

        key = jax.eval_shape(lambda: jax.random.key(0)).dtype
        state = begin.compiled.eval_shape(
            static, arrays, rows(jnp.float32, *shape), rows(jnp.int32), rows(key),
            rows(jnp.float32), rows(bool), None,
        )  # fmt: skip
        slots = _on_devices((state, rows(jnp.int32), rows(bool)), mesh)
        most = np.int32(1)
        return program_memory(
            advance.compiled.lower(static, arrays, *slots, most, most).compile()
        )

    while True:
        try:
            if needed(each * num_devices) <= free_memory(mesh):
                return each * num_devices
        except jax.errors.JaxRuntimeError as error:
            if not ran_out(error):
                raise
        if each == 1:
            raise MemoryError(
                "not even one example of this attack fits the device: use a smaller "
                "network or a device with more memory."
            )
        each //= 2


def _on_devices(slots: PyTree, mesh: Mesh | None) -> PyTree:
    """The arrays of the slots as the mesh splits them."""
    if mesh is None:
        return slots
    shares = split_batch(mesh)
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=shares), slots
    )
