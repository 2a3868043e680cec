import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from advjax.layers import convolution
from advjax.layers.convolution import conv2d


def pair(each):
    return (each, each) if isinstance(each, int) else each


def stock(x, kernel, stride, padding, dilation):
    return lax.conv_general_dilated(
        x,
        kernel,
        pair(stride),
        "SAME" if padding is None else [(each, each) for each in pair(padding)],
        rhs_dilation=pair(dilation),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


# With 0 no map counts as small, with 1000 every map does.
@pytest.mark.parametrize(
    ("few", "sizes", "size", "stride", "padding"),
    [
        (0, (13, 12), (1, 5), (1, 3), 0),
        (0, (13, 12), (3, 5), (2, 1), (1, 2)),
        (1000, (13, 12), (3, 5), (2, 1), (1, 2)),
        (0, (13, 12), 3, 1, None),
        (0, (13, 12), 5, 2, None),
        (0, (13, 12), 11, 4, 0),
        (0, (13, 12), 3, 2, 1),
        (0, (13, 12), 2, 3, 0),
        (0, (13, 12), 3, 1, 2),
        (1000, (7, 6), 5, 2, None),
        (1000, (7, 6), 3, 2, 1),
        (1000, (7, 6), 2, 3, 0),
        (1000, (7, 6), 1, 2, 0),
        (1000, (2, 1), 5, 1, None),
        (1000, (2, 1), 7, 2, 3),
    ],
)
def test_conv2d_and_both_gradients_equal_xla(
    monkeypatch, few, sizes, size, stride, padding
):
    monkeypatch.setattr(convolution, "FEW_POSITIONS", few)
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, *sizes, 3))
    kernel = jax.random.normal(keys[1], (*pair(size), 3, 4))

    compare(x, kernel, keys[2], stride, padding)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation"),
    [(1, 0, 2), (1, None, (1, 3)), (2, (1, 4), (2, 3))],
)
def test_a_dilated_convolution_equals_xla(stride, padding, dilation):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 13, 12, 3))
    kernel = jax.random.normal(keys[1], (2, 3, 3, 4))
    compare(x, kernel, keys[2], stride, padding, dilation)


def compare(x, kernel, key, stride, padding, dilation=1):
    given = stride, padding, dilation

    @jax.jit
    def answers(x, kernel):
        out, ours = jax.vjp(lambda x, k: conv2d(x, k, *given), x, kernel)
        expected, theirs = jax.vjp(lambda x, k: stock(x, k, *given), x, kernel)
        cotangent = jax.random.normal(key, out.shape)
        return (out, *ours(cotangent)), (expected, *theirs(cotangent))

    for ours, theirs in zip(*answers(x, kernel), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=3e-5)


def test_a_kernel_larger_than_its_maps_is_refused():
    with pytest.raises(ValueError, match="larger inputs"):
        conv2d(jnp.zeros((1, 10, 12, 1)), jnp.zeros((11, 11, 1, 2)), 4, 0)
    assert conv2d(jnp.zeros((1, 1, 1, 1)), jnp.zeros((7, 7, 1, 2)), 2, 3).size == 2


def test_conv2d_under_vmap_equals_the_batch():
    x = jax.random.normal(jax.random.key(0), (3, 8, 6, 2))
    kernel = jax.random.normal(jax.random.key(1), (3, 3, 2, 4))
    one = lambda x: conv2d(x[None], kernel, 2)[0]  # noqa: E731
    grad = lambda x: jax.grad(lambda z: jnp.sum(one(z) ** 2))(x)  # noqa: E731
    batch = jax.jit(jax.grad(lambda z: jnp.sum(conv2d(z, kernel, 2) ** 2)))(x)
    mapped = jax.jit(jax.vmap(one))(x)
    np.testing.assert_allclose(mapped, conv2d(x, kernel, 2), atol=1e-5)
    np.testing.assert_allclose(jax.jit(jax.vmap(grad))(x), batch, atol=1e-4)
