"""The device mesh: one axis, `data`, over the devices that share the work."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

AXIS = "data"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A one-dimensional mesh over `devices` (default: all of them), axis `data`.

    The axis is Auto: newer JAX makes axes Explicit by default, under which the gradient
    of an integer-label loss is refused.
    """
    devices = jax.devices() if devices is None else list(devices)
    return Mesh(np.asarray(devices), (AXIS,), axis_types=(AxisType.Auto,))


def split_batch(mesh: Mesh) -> NamedSharding:
    """The sharding that splits the leading axis of an array over the mesh."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def replicate(mesh: Mesh) -> NamedSharding:
    """The sharding that keeps a whole copy on every device of the mesh."""
    return NamedSharding(mesh, PartitionSpec())
