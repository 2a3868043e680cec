"""The largest number of slots that fits the free memory."""

import jax
import numpy as np
from jax.sharding import Mesh

from advjax.attacks.base import Attack
from advjax.attacks.slot_programs import programs, slot_shapes
from advjax.callables import split
from advjax.runtime.compilation import suits_ynnpack
from advjax.runtime.memory import free_memory, largest_that_fits, program_memory
from advjax.runtime.parallel import replicate, split_batch
from advjax.types import AnyCallable, PyTree


def fitting_slots(
    attack: Attack,
    logits_fn: AnyCallable,
    shape: tuple[int, ...],
    *,
    num_slots: int,
    mesh: Mesh | None = None,
    padded: bool = False,
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
        padded: whether the examples are `Padded`.

    Raises:
        MemoryError: not even one slot a device fits.
    """
    num_devices = 1 if mesh is None else mesh.size
    arrays, static = split(logits_fn)
    if mesh is not None:
        arrays = jax.device_put(arrays, replicate(mesh))
    begin, advance, _ = programs(attack, mesh, ynnpack=suits_ynnpack(arrays))

    def fits(each: int) -> bool:
        slots = slot_shapes(
            begin, static, arrays, shape, each * num_devices, padded=padded
        )
        slots, most = _on_devices(slots, mesh), np.int32(1)
        lowered = advance.compiled.lower(static, arrays, *slots, most, most)
        return program_memory(lowered.compile()) <= free_memory(mesh)

    found = largest_that_fits(-(-num_slots // num_devices), fits)
    if found is None:
        raise MemoryError(
            "not even one example of this attack fits the device: use a smaller "
            "network or a device with more memory."
        )
    return found * num_devices


def _on_devices(slots: PyTree, mesh: Mesh | None) -> PyTree:
    """The arrays of the slots as the mesh splits them."""
    if mesh is None:
        return slots
    shares = split_batch(mesh)
    return jax.tree.map(
        lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=shares), slots
    )
