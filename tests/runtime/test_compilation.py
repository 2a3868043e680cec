import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from advjax.runtime import parallel, targets
from advjax.runtime.compilation import as_on_one_core, compiler_options, suits_ynnpack

# In a process of its own: with the four devices of the tests nothing is wrong.
TWO_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import PartitionSpec
from advjax.runtime import parallel
from advjax.runtime.compilation import compiler_options
from advjax.models import MODELS

jax.config.update("jax_num_cpu_devices", 2)
mesh = parallel.local_mesh()
network = MODELS["rescnn"](num_classes=10, width=8)
variables = network.init(jax.random.key(1), jnp.zeros((1, 160, 64, 1)), train=False)

def logits(variables, step, device):
    key = jax.random.fold_in(jax.random.key(0), 2 * step + device)
    x = jax.random.normal(key, (20, 160, 64, 1))
    return network.apply(variables, x, train=False)

def on_device(variables):
    device = jax.lax.axis_index(mesh.axis_names)
    step = lambda n, found: found.at[n].set(logits(variables, n, device))
    return jax.lax.fori_loop(0, 16, step, jnp.zeros((16, 20, 10)))[None]

same, split = PartitionSpec(), PartitionSpec(mesh.axis_names)
loop = jax.shard_map(
    on_device, mesh=mesh, in_specs=same, out_specs=split, check_vma=False
)
found = jax.jit(loop, compiler_options=compiler_options(mesh))(variables)
one = jax.jit(logits)
expected = [[one(variables, n, device) for n in range(16)] for device in range(2)]
np.testing.assert_allclose(found, expected, atol=1e-4)
"""


@pytest.mark.slow
def test_convolutions_in_a_loop_are_right_on_two_devices():
    done = subprocess.run(
        [sys.executable, "-c", TWO_DEVICES],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_programs_of_two_cpu_devices_leave_convolutions_to_ynnpack():
    if jax.default_backend() != "cpu":
        pytest.skip("the options are for CPUs")
    alone, shared = (parallel.data_mesh(jax.devices()[:n]) for n in (1, 2))
    assert compiler_options(alone) == compiler_options() != {}
    (name, value), *_ = compiler_options(alone).items()
    assert "CONVOLUTION" not in value
    assert "CONVOLUTION" in compiler_options(shared)[name]


@pytest.mark.parametrize(("processor", "expected"), [("avx2", False), ("avx512", True)])
def test_one_core_leaves_small_networks_to_ynnpack_with_wide_vectors_alone(
    processor, expected, monkeypatch
):
    monkeypatch.setattr(targets, "processor", lambda: processor)
    small = [np.zeros((1024, 1024))] * 8
    for cores in (1, 2):
        monkeypatch.setattr(parallel, "num_cores", lambda count=cores: count)
        assert suits_ynnpack(small) == (expected and cores == 1)
        with as_on_one_core():
            assert suits_ynnpack(small) == expected
            assert not suits_ynnpack([*small, np.zeros(())])
    assert not suits_ynnpack(small)


def test_ynnpack_is_an_option_of_one_device():
    if jax.default_backend() != "cpu":
        pytest.skip("the options are for CPUs")
    (value, *_) = compiler_options(ynnpack=True).values()
    assert "CONVOLUTION" in value
