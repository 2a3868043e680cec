"""Votes of one device and of two, in the programs that XLA compiles for an H100."""

import importlib.util
import os
import subprocess
import sys

import pytest

PROGRAM = """
import re
import jax, jax.numpy as jnp, numpy as np
from advjax import smoothing
from advjax.runtime import compiled_text, parallel, targets, topologies
from advjax.smoothing.counting import votes

kernel = np.ones((3, 3, 1, 8), np.float32)

def logits(x):
    y = jax.lax.conv_general_dilated(
        x[None, ..., None], kernel, (1, 1), "SAME", precision="highest",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )
    return jnp.maximum(y, 0).mean((0, 1, 2))

def convolutions(topology):
    target = topologies.TARGETS["h100"]._replace(topology=topology)
    mesh = topologies.mesh_of(target)
    x = jax.ShapeDtypeStruct((40, 32), jnp.float32)
    with targets.compiling_for("gpu"):
        arrays, static = votes.partition(logits, smoothing.gaussian(0.25), x)
        key = jax.eval_shape(lambda: jax.random.key(0))
        bounds = jax.ShapeDtypeStruct((4,), jnp.int32)
        operands = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct(
                leaf.shape, leaf.dtype, sharding=parallel.replicate(mesh)
            ),
            (arrays, x, key, bounds),
        )
        program = votes.count_program(100, mesh if mesh.size > 1 else None)
        compiled = program.lower(static, *operands).compile()
    module = compiled_text.parse(compiled.as_text())
    return mesh.size, sorted(
        (each.shapes, each.target, re.sub(r", metadata={.*?}", "", each.attributes))
        for computation in module.computations.values()
        for each in computation
        if "conv" in each.target
    )

(devices, alone), (more, shared) = convolutions("1x1x1"), convolutions("1x1x2")
assert (devices, more) == (1, 2)
assert alone[0][0][0].sizes[0] == 100, alone
assert alone == shared, (alone, shared)
"""


@pytest.mark.slow
def test_each_device_runs_the_convolutions_of_one():
    if importlib.util.find_spec("jax_cuda12_plugin") is None:
        pytest.skip("the compiler of an H100 is not installed")
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
