"""Strict JAX, checked annotations, fake devices, and the door to real recordings."""

import gc
import os
import pathlib
import subprocess
import sys
import tempfile

import jaxtyping
import pytest

# Every annotation of the packages is checked as tests call them; an int may stand for
# a float. Here and not in pytest's options, where jaxtyping 0.3.11 takes one package
# only before a checker with arguments.
jaxtyping.install_import_hook(
    ["advjax", "data_prep"],
    "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))",
)

# Half of the time of these tests is that of XLA's compiler, and a third of that goes
# into its newer way of making loops on CPUs. A program in several parts, for as many
# threads, takes a third more. Level 1 compiles in a third of the time of the default,
# 3, and its programs are hardly slower.
_QUICKER = (
    "--xla_backend_optimization_level=1 --xla_cpu_use_fusion_emitters=false"
    " --xla_cpu_parallel_codegen_split_count=1"
)


def pytest_configure(config):
    """Prepare what all processes inherit, then this one if it runs tests itself."""
    if not hasattr(config, "workerinput"):
        _keep_bytecode(config)
        _compile_faster()
        if config.getoption("dist", "no") != "no" and not config.option.collectonly:
            return
    _set_jax_up(config)


def _keep_bytecode(config):
    """Write bytecode to a folder of this session where none may lie beside sources.

    Otherwise each of the processes that tests start compiles all packages anew.
    """
    if not sys.dont_write_bytecode or sys.pycache_prefix is not None:
        return
    folder = tempfile.TemporaryDirectory(prefix="advjax-bytecode-")

    def stop():
        sys.dont_write_bytecode = True
        folder.cleanup()

    config.add_cleanup(stop)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = sys.pycache_prefix = folder.name
    sys.dont_write_bytecode = False


def _compile_faster():
    """Have XLA compile faster, if this jaxlib knows how to."""
    flags = os.environ.get("XLA_FLAGS", "")
    if "fusion_emitters" in flags:
        return
    flags = f"{flags} {_QUICKER}".strip()
    # A flag that it does not know ends the process, so another one tries.
    tried = subprocess.run(
        [sys.executable, "-c", "import jax; jax.devices()"],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        check=False,
    )
    if tried.returncode == 0:
        os.environ["XLA_FLAGS"] = flags


def _set_jax_up(config):
    import jax  # takes seconds, and who only distributes tests does without

    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    # Several devices on any machine; jax refuses to be told twice.
    if "xla_force_host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
        jax.config.update("jax_num_cpu_devices", 4)
    # Tests that train, kill and resume build the same programs again. Each process
    # has a folder of its own: JAX does not write an entry in one step.
    compiled = tempfile.TemporaryDirectory(prefix="advjax-compiled-")
    config.add_cleanup(compiled.cleanup)
    jax.config.update("jax_compilation_cache_dir", compiled.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.05)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


_LONG = pytest.StashKey[set[pathlib.Path]]()
"""Files of which a `slow` or `gpu` test was asked for."""


def pytest_collection_finish(session):
    """Spares what is loaded by now from the collector, which tracing calls often."""
    session.stash[_LONG] = {
        item.path
        for item in session.items
        if item.get_closest_marker("slow") or item.get_closest_marker("gpu")
    }
    gc.collect()
    gc.freeze()
    gc.set_threshold(200_000, 20, 100)


@pytest.fixture(scope="session")
def advjax_data() -> pathlib.Path:
    """The folder of real recordings; without it the test is skipped."""
    folder = os.environ.get("ADVJAX_DATA")
    if not folder:
        pytest.skip("real recordings: set ADVJAX_DATA to the folder that holds them")
    return pathlib.Path(folder)


@pytest.fixture(scope="module")
def tiny_network():
    """`tiny` among the models, for programs and checkpoints."""
    from advjax.models import MODELS  # imports JAX
    from tests.tiny_network import Tiny

    MODELS["tiny"] = Tiny
    yield
    del MODELS["tiny"]


# Where compiling takes longer than running the programs, those of slow tests too.
_COMPILING = (
    "/attacks/",
    "/conformance/",
    "/defences/",
    "/experiments/benchmarks/",
    "/experiments/studies/speakers/test_changed_inputs.py",
    "/fuzz/",
    "/layers/",
    "/models/",
    "/representations/",
    "/signal/",
    "/surf_svm/",
    "/test_classifier.py",
)

# Where running takes longer than compiling, or two programs are compared to rounding.
_RUNNING = (
    "/attacks/test_x64.py",
    "/defences/test_pgd_adversarial.py",
    "/experiments/lab/test_budget_scan.py",
    "/experiments/lab/test_earlier_runs.py",
    "/experiments/studies/speakers/test_inputs.py",
    "/experiments/test_attack.py",
    "/experiments/test_audibility.py",
    "/experiments/test_certify.py",
    "/experiments/test_sequential.py",
    "/experiments/test_smoothed_attacks.py",
    "/representations/test_lipschitz.py",
    "/smoothing/bounds/test_sequential.py",
    "/smoothing/noises/test_certificates.py",
    "/smoothing/test_certify.py",
    "/test_docs.py",
    "/training/test_loop.py",
)


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request):
    """Hardly optimised programs: compiling takes longer than running, if not `slow`."""
    import jax

    path = request.path.as_posix()
    quick = request.path not in request.session.stash[_LONG]
    quick = quick or any(name in path for name in _COMPILING)
    quick = quick and not path.endswith(_RUNNING)
    jax.config.update("jax_disable_most_optimizations", quick)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
