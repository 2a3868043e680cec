import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from jax import lax

from advjax.layers.blocks import (
    BatchNorm,
    Conv,
    channel_sums,
    clipped_relu,
    max_pool,
    relu,
)


def normal(seed, shape):
    values = np.random.default_rng(seed).normal(size=shape)
    return jnp.asarray(values, jnp.float32)


def stock(x, kernel, stride, padding=None, **options):
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME" if padding is None else [(padding, padding)] * 2,
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        **options,
    )


def test_a_convolution_in_groups_equals_xla():
    x = normal(0, (2, 9, 8, 6))
    module = Conv(4, stride=2, groups=2, use_bias=False)
    params = jax.jit(module.init)(jax.random.key(1), x)["params"]
    expected = stock(x, params["kernel"], 2, feature_group_count=2)
    found = jax.jit(module.apply)({"params": params}, x)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(9, 7), (8, 6), (2, 1)])
@pytest.mark.parametrize(
    ("window", "stride", "padding"), [(3, 2, 0), (2, 2, 0), (3, 1, 1)]
)
def test_max_pool_and_its_gradient_equal_xla(shape, window, stride, padding):
    # Four values, so that most windows hold ties.
    values = np.random.default_rng(0).integers(-2, 2, (2, *shape, 3))
    x = values.astype(np.float32)
    ends = [(0, 0)]
    for size in shape:
        # From left to right until a window reaches the end.
        last = -padding
        while last + window < size + padding:
            last += stride
        ends.append((padding, last + window - size))

    def theirs(x):
        windows, strides = (1, window, window, 1), (1, stride, stride, 1)
        return lax.reduce_window(
            x, -jnp.inf, lax.max, windows, strides, [*ends, (0, 0)]
        )

    @jax.jit
    def answers(x):
        out, by_us = jax.vjp(lambda x: max_pool(x, window, stride, padding), x)
        expected, by_xla = jax.vjp(theirs, x)
        cotangent = normal(1, out.shape)
        return (out, *by_us(cotangent)), (expected, *by_xla(cotangent))

    (out, ours), (expected, slopes) = answers(x)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_allclose(ours, slopes, atol=1e-6)


def test_max_pool_has_the_sizes_of_the_published_networks():
    sizes = [55]
    while sizes[-1] > 6:
        x = jax.ShapeDtypeStruct((1, sizes[-1], 224, 1), jnp.float32)
        sizes.append(jax.eval_shape(lambda x: max_pool(x, 3, 2), x).shape[1])
    assert sizes == [55, 27, 13, 6]
    assert jax.eval_shape(lambda x: max_pool(x, 3, 2), x).shape[2] == 112


@pytest.mark.parametrize("place", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_max_pool_lets_nan_through(place):
    x = jnp.ones((1, 2, 2, 1)).at[0, *place, 0].set(jnp.nan)
    assert jnp.isnan(max_pool(x, 2, 2)).all()


def test_relu_is_flat_up_to_0_and_lets_nan_through():
    points = jnp.asarray([-1.0, 0.0, 3.0])
    assert relu(points).tolist() == [0, 0, 3]
    assert jax.jit(jax.vmap(jax.grad(relu)))(points).tolist() == [0, 0, 1]
    assert jnp.isnan(relu(jnp.asarray(jnp.nan)))


def test_clipped_relu_clips_at_0_and_20():
    assert clipped_relu(jnp.asarray([-1.0, 3.0, 25.0])).tolist() == [0, 3, 20]


def test_clipped_relu_lets_nan_through_and_is_flat_outside():
    assert jnp.isnan(clipped_relu(jnp.asarray(jnp.nan)))
    slopes = jax.jit(jax.vmap(jax.grad(clipped_relu)))(
        jnp.asarray([-1.0, 0.0, 3.0, 25.0])
    )
    assert slopes.tolist() == [0, 0, 1, 0]


@pytest.fixture
def maps():
    """Maps with a large mean, at which an unstable variance loses its digits."""
    return 3 + 2 * normal(0, (4, 20, 16, 5))


def test_channel_sums_are_those_of_numpy(maps):
    expected = np.asarray(maps, np.float64).sum((0, 1, 2))
    np.testing.assert_allclose(channel_sums(maps), expected, rtol=1e-6)


def test_the_gradient_by_a_convolution_s_bias_is_the_sum_of_the_cotangent(maps):
    module = Conv(features=3)
    params = jax.jit(module.init)(jax.random.key(0), maps)["params"]
    cotangent = normal(1, (*maps.shape[:3], 3))

    @jax.jit
    def gradient(params):
        _, pull_back = jax.vjp(lambda p: module.apply({"params": p}, maps), params)
        return pull_back(cotangent)[0]

    found = gradient(params)["bias"]
    np.testing.assert_allclose(found, cotangent.sum((0, 1, 2)), rtol=1e-4)


@pytest.mark.parametrize("train", [True, False])
def test_batch_norm_equals_flax(maps, train):
    theirs = nn.BatchNorm(use_running_average=not train, momentum=0.9, epsilon=1e-3)
    params = {"scale": jnp.arange(1.0, 6), "bias": jnp.arange(5.0)}
    statistics = {"mean": jnp.arange(2.0, 7), "var": jnp.arange(3.0, 8)}
    cotangent = normal(1, maps.shape)

    def answers(apply):
        def of_both(x, params):
            variables = {"params": params, "batch_stats": statistics}
            return apply(variables, x, mutable=["batch_stats"])

        def with_gradients(maps, params):
            out, pull_back, kept = jax.vjp(of_both, maps, params, has_aux=True)
            return out, pull_back(cotangent), kept

        return jax.jit(with_gradients)(maps, params)

    ours = answers(functools.partial(BatchNorm().apply, train=train))
    stock = answers(theirs.apply)
    assert jax.tree.structure(ours) == jax.tree.structure(stock)
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(stock), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_batch_norm_starts_as_flax_does(maps):
    key = jax.random.key(0)
    ours = jax.jit(functools.partial(BatchNorm().init, train=True))(key, maps)
    stock = jax.jit(nn.BatchNorm(use_running_average=False).init)(key, maps)
    assert jax.tree.structure(ours) == jax.tree.structure(stock)
    jax.tree.map(np.testing.assert_array_equal, ours, stock)
