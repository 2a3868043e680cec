"""XLA's own form of an operation computes what the rewritten form computes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.layers import blocks
from advjax.layers.convolution import conv2d
from advjax.runtime import targets

X = jax.random.normal(jax.random.key(0), (2, 15, 14, 3))
KERNEL = jax.random.normal(jax.random.key(1), (3, 3, 3, 4))
CASES = {
    "input_gradient": lambda x: conv2d(x, KERNEL, 2),
    "pool": lambda x: blocks.max_pool(x, 3, 2),
    "sum": blocks.channel_sums,
    "clip": lambda x: blocks.clipped_relu(30 * x) + blocks.relu(x),
}


def value_and_gradient(function, forms):
    with targets.choosing_forms(forms):
        found, pull = jax.vjp(function, X)
        text = str(jax.make_jaxpr(jax.grad(lambda x: function(x).sum()))(X))
        return found, *pull(jnp.cos(found)), text


@pytest.mark.parametrize("operation", CASES)
def test_both_forms_have_the_same_value_and_gradient(operation):
    run = functools.partial(value_and_gradient, CASES[operation])
    *rewritten, its_text = run(())
    *stock, text = run((operation,))
    assert text != its_text
    for one, other in zip(rewritten, stock, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_a_cpu_takes_none_and_a_choice_ends():
    assert not any(targets.takes_stock(each) for each in CASES)
    with targets.choosing_forms(("pool",)):
        assert targets.takes_stock("pool") and not targets.takes_stock("clip")
    assert not targets.takes_stock("pool")
    with targets.compiling_for("gpu"):
        assert targets.takes_stock("input_gradient")
