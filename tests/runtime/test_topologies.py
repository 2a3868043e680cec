"""Programs compiled for devices that this machine does not have."""

import importlib.util
import os
import subprocess
import sys

import pytest

from advjax.runtime.topologies import TARGETS, mesh_of

PROGRAM = """
import sys
import jax, jax.numpy as jnp
from jax import lax
from advjax.runtime import compiled_text, kernels, memory, parallel, targets, topologies

target = topologies.TARGETS[sys.argv[1]]
mesh = topologies.mesh_of(target)
def both(x, kernel):
    y = lax.conv_general_dilated(
        x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return jnp.maximum(y, 0)
def shape(*sizes):
    sharding = parallel.replicate(mesh)
    return jax.ShapeDtypeStruct(sizes, jnp.bfloat16, sharding=sharding)
with targets.compiling_for(target.platform):
    lowered = jax.jit(both).lower(shape(8, 16, 16, 32), shape(3, 3, 32, 64))
compiled = lowered.compile()
found = kernels.kernels(compiled_text.parse(compiled.as_text()))
(one,) = [each for each in found if each.kind == kernels.CONVOLUTION]
assert one.precision == "bfloat16", one
assert one.flops == 2 * 8 * 32 * 64 * (3 * 16 - 2) ** 2, one
assert memory.program_memory(compiled) > 2 * 8 * 16 * 16 * (32 + 64)
assert topologies.roofline(target, found).seconds > 0
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_a_small_program_compiles_for(name):
    if importlib.util.find_spec(TARGETS[name].module) is None:
        pytest.skip(f"{name}: its compiler is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, name],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "TPU_SKIP_MDS_QUERY": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_missing_compiler_is_named(monkeypatch):
    for module in ("jax_cuda12_plugin", "libtpu"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=r"advjax\[rehearse-gpu\]"):
        mesh_of(TARGETS["h100"])
    with pytest.raises(ModuleNotFoundError, match=r"advjax\[rehearse-tpu\]"):
        mesh_of(TARGETS["v5e-4"])
