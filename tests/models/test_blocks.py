import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from advjax.models.blocks import BatchNorm, Conv, channel_sums, clipped_relu, conv2d


def stock(x, kernel, stride):
    return lax.conv_general_dilated(
        x, kernel, (stride, stride), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [3, 5])
@pytest.mark.parametrize("shape", [(8, 6), (7, 5), (10, 4)])
def test_conv2d_and_both_gradients_equal_xla(stride, size, shape):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, *shape, 3))
    kernel = jax.random.normal(keys[1], (size, size, 3, 4))
    out, ours = jax.vjp(lambda x, k: conv2d(x, k, stride), x, kernel)
    expected, theirs = jax.vjp(lambda x, k: stock(x, k, stride), x, kernel)
    np.testing.assert_array_equal(out, expected)
    cotangent = jax.random.normal(keys[2], out.shape)
    for a, b in zip(ours(cotangent), theirs(cotangent), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_conv2d_under_vmap_equals_the_batch():
    x = jax.random.normal(jax.random.key(0), (3, 8, 6, 2))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 4))
    one = lambda x: conv2d(x[None], kernel, 2)[0]  # noqa: E731
    grad = lambda x: jax.grad(lambda z: jnp.sum(one(z) ** 2))(x)  # noqa: E731
    batch = jax.grad(lambda z: jnp.sum(conv2d(z, kernel, 2) ** 2))(x)
    np.testing.assert_allclose(jax.vmap(one)(x), conv2d(x, kernel, 2), atol=1e-5)
    np.testing.assert_allclose(jax.vmap(grad)(x), batch, atol=1e-4)


def test_clipped_relu_clips_at_0_and_20():
    assert clipped_relu(jnp.asarray([-1.0, 3.0, 25.0])).tolist() == [0, 3, 20]


def test_clipped_relu_lets_nan_through_and_is_flat_outside():
    assert jnp.isnan(clipped_relu(jnp.asarray(jnp.nan)))
    slopes = jax.vmap(jax.grad(clipped_relu))(jnp.asarray([-1.0, 0.0, 3.0, 25.0]))
    assert slopes.tolist() == [0, 0, 1, 0]


@pytest.fixture
def maps():
    """Maps that are off centre: there a careless variance would lose its digits."""
    return 3 + 2 * jax.random.normal(jax.random.key(0), (4, 20, 16, 5))


def test_channel_sums_are_those_of_numpy(maps):
    expected = np.asarray(maps, np.float64).sum((0, 1, 2))
    np.testing.assert_allclose(channel_sums(maps), expected, rtol=1e-6)


def test_the_gradient_by_a_convolution_s_bias_is_the_sum_of_the_cotangent(maps):
    module = Conv(features=3)
    params = module.init(jax.random.key(0), maps)["params"]
    out, pull_back = jax.vjp(lambda p: module.apply({"params": p}, maps), params)
    cotangent = jax.random.normal(jax.random.key(1), out.shape)
    found = pull_back(cotangent)[0]["bias"]
    np.testing.assert_allclose(found, cotangent.sum((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_flax(maps, train):
    theirs = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-3)
    params = {"scale": jnp.arange(1.0, 6), "bias": jnp.arange(5.0)}
    statistics = {"mean": jnp.arange(2.0, 7), "var": jnp.arange(3.0, 8)}
    cotangent = jax.random.normal(jax.random.key(1), maps.shape)

    def answers(apply):
        def of_both(x, params):
            variables = {"params": params, "batch_stats": statistics}
            return apply(variables, x, mutable=["batch_stats"])

        out, pull_back, kept = jax.vjp(of_both, maps, params, has_aux=True)
        return out, pull_back(cotangent), kept

    ours = answers(functools.partial(BatchNorm().apply, train=train))
    stock = answers(theirs.apply)
    assert jax.tree.structure(ours) == jax.tree.structure(stock)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_batch_norm_starts_as_flax_does(maps):
    ours = BatchNorm().init(jax.random.key(0), maps, train=True)
    stock = nn.BatchNorm(use_running_average=False).init(jax.random.key(0), maps)
    assert jax.tree.structure(ours) == jax.tree.structure(stock)
    jax.tree.map(np.testing.assert_array_equal, ours, stock)
