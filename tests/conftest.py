"""Strict JAX, checked annotations, fake devices, and the door to real recordings."""

import os
import pathlib

import jax
import jaxtyping
import pytest

# Every annotation of the packages is checked as tests call them; an int may stand for
# a float. Here and not in pytest's options, where jaxtyping 0.3.11 takes one package
# only before a checker with arguments.
jaxtyping.install_import_hook(
    ["advjax", "data_prep"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
# Several devices on any machine; jax refuses to be told twice.
if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
    jax.config.update("jax_num_cpu_devices", 4)


@pytest.fixture(scope="session")
def advjax_data() -> pathlib.Path:
    """The folder of real recordings; without it the test is skipped."""
    folder = os.environ.get("ADVJAX_DATA")
    if not folder:
        pytest.skip("real recordings: set ADVJAX_DATA to the folder that holds them")
    return pathlib.Path(folder)


# Where compiling small programs takes longer than running them.
_COMPILING = (
    "/attacks/",
    "/conformance/",
    "/defences/",
    "/experiments/test_attack.py",
    "/experiments/test_certify.py",
    "/experiments/test_needed_budgets.py",
    "/experiments/test_speaker_inputs.py",
    "/models/",
    "/representations/",
    "/signal/",
    "/test_classifier.py",
    "/test_training.py",
)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request):
    """Hardly optimised programs in files that compile much and compute little."""
    path = request.path.as_posix()
    quick = any(name in path for name in _COMPILING)
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
