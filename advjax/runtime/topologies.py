"""Devices that this machine does not have, for compiling programs for them.

XLA compiles for a GPU or TPU that is described to it. Nothing is measured there: the
time of a program is estimated from its operations and bytes and the device's peaks.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jax.experimental import topologies
from jax.sharding import Mesh

from advjax.runtime import failures
from advjax.runtime.kernels import Kernel
from advjax.runtime.parallel import data_mesh


class Target(NamedTuple):
    """A machine to compile for.

    Attributes:
        platform: its kind of device, as in `targets.PLATFORMS`.
        name: of a device, for people.
        module: the package of its compiler.
        topology: its name for XLA.
        memory_bytes: of a device.
        bytes_per_s: between a device and its memory.
        flops_per_s: of a device's products, by `Kernel.precision`.
        description: XLA's description of a GPU.
    """

    platform: str
    name: str
    module: str
    topology: str
    memory_bytes: float
    bytes_per_s: float
    flops_per_s: Mapping[str, float]
    description: str = ""


_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024 threads_per_warp: 32 threads_per_core_limit: 2048
  shared_memory_per_block: 49152 shared_memory_per_block_optin: 232448
  shared_memory_per_core: 233472 core_count: 132 fpus_per_core: 128
  block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000 l2_cache_size: 52428800 clock_rate_ghz: 1.98
  device_memory_size: 84942979072 cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536 registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 8 patch: 0 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""

TARGETS: dict[str, Target] = {
    # Peaks: 790 TFLOP/s were measured in a bfloat16 product (989 by NVIDIA's data sheet
    # of the H100 SXM5); tf32 is half of it; 67 and 3.35 TB/s are by the data sheet.
    "h100": Target(
        platform="gpu",
        name="NVIDIA H100 SXM5, 80 GB",
        module="jax_cuda12_plugin",
        topology="1x1x1",
        memory_bytes=80e9,
        bytes_per_s=3.35e12,
        flops_per_s={
            "bfloat16": 790e12,
            "float16": 790e12,
            "tf32": 395e12,
            "default": 395e12,
            "float32": 67e12,
        },
        description=_H100,
    ),
    # By Google's page of the v5e, for bfloat16. A product of float32 is three (tf32,
    # JAX's "high") or six (all bits) of bfloat16.
    "v5e-4": Target(
        platform="tpu",
        name="TPU v5e, 4 chips of 16 GB",
        module="libtpu",
        topology="v5e:2x2",
        memory_bytes=16e9,
        bytes_per_s=819e9,
        flops_per_s={
            "bfloat16": 197e12,
            "float16": 197e12,
            "default": 197e12,
            "tf32": 197e12 / 3,
            "float32": 197e12 / 6,
        },
    ),
}


def mesh_of(target: Target) -> Mesh:
    """A mesh over all devices of a target. Programs can be compiled for it, not run.

    Raises:
        ModuleNotFoundError: its compiler is missing; the message says what to install.
    """
    failures.need(target.module)
    if target.platform == "gpu":
        described = topologies.get_topology_desc(
            platform="cuda",
            topology_name="",
            target_config=target.description,
            topology=target.topology,
        )
    else:
        described = topologies.get_topology_desc(target.topology, target.platform)
    return data_mesh(list(described.devices))


class Roofline(NamedTuple):
    """The least time of kernels on a device.

    Attributes:
        flops_s: that their products need at the device's peak.
        bytes_s: that their bytes need at its bandwidth.
        one_by_one_s: the sum over kernels of the longer of their two times.
    """

    flops_s: float
    bytes_s: float
    one_by_one_s: float

    @property
    def seconds(self) -> float:
        """The longer time: that of kernels which overlap perfectly."""
        return max(self.flops_s, self.bytes_s)

    @property
    def bound(self) -> str:
        """The name of what takes the longer time."""
        return "FLOPs" if self.flops_s >= self.bytes_s else "bytes"


def roofline(target: Target, kernels: Sequence[Kernel]) -> Roofline:
    """The least time of kernels on one device of a target.

    Source: Williams, Waterman, Patterson 2009, "Roofline", doi:10.1145/1498765.1498785.
    """
    times = [
        (
            each.times * each.flops / target.flops_per_s[each.precision or "default"],
            each.times * each.num_bytes / target.bytes_per_s,
        )
        for each in kernels
    ]
    flops_s, bytes_s = (sum(column) for column in zip(*times, strict=True))
    return Roofline(flops_s, bytes_s, sum(map(max, times)))
