import pathlib

import jax
import jax.numpy as jnp
import pytest

import advjax
from advjax.layers.blocks import Conv
from advjax.runtime import targets

ROOT = pathlib.Path(advjax.__file__).parents[1]


def test_nothing_else_asks_for_the_backend():
    asking = {
        path.relative_to(ROOT).as_posix()
        for package in ("advjax", "experiments", "data_prep")
        for path in (ROOT / package).rglob("*.py")
        if "default_backend(" in path.read_text(encoding="utf-8")
    }
    assert asking == {"advjax/runtime/targets.py"}


def traced(x):
    return str(jax.make_jaxpr(lambda x: Conv(16).init_with_output(KEY, x)[0])(x))


KEY = jax.random.key(0)


def test_programs_take_the_form_of_the_target_and_then_of_this_machine_again():
    x = jnp.ones((1, 8, 8, 16))
    with targets.choosing_processor("avx2"):
        before = traced(x)
        with targets.compiling_for("gpu"):
            assert (targets.platform(), targets.on_cpu()) == ("gpu", False)
            for_gpu = traced(x)
        assert targets.platform() == jax.default_backend()
        assert traced(x) == before
    # One convolution there; on a CPU, those along the height.
    assert for_gpu.count("conv_general_dilated[") == 1
    if targets.on_cpu():
        assert before.count("conv_general_dilated[") == 6


def test_the_choice_ends_with_an_error():
    with pytest.raises(RuntimeError), targets.compiling_for("tpu"):
        raise RuntimeError
    assert targets.platform() == jax.default_backend()


def test_an_unknown_target_is_refused():
    with pytest.raises(ValueError, match="choose one of cpu, gpu, tpu"):
        targets.compiling_for("cuda").__enter__()
    with pytest.raises(ValueError, match="choose one of avx2, avx512"):
        targets.choosing_processor("sse").__enter__()
