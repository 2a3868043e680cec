import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from advjax.models.blocks import clipped_relu, conv2d


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
