import jax
import jax.numpy as jnp
import numpy as np

from advjax.runtime.compilation import one_by_one


def function(x, y):
    return jnp.sin(x).sum() * y, x**2


X, Y = jnp.arange(6.0).reshape(3, 2), jnp.arange(3.0)


def test_it_is_the_function_and_so_is_its_vmap():
    for f in (one_by_one(function), function):
        found = jax.jit(jax.vmap(f))(X, Y)
        np.testing.assert_allclose(found[0], jnp.sin(X).sum(axis=1) * Y, rtol=1e-6)
        np.testing.assert_allclose(found[1], X**2)


def test_so_are_its_gradients_under_either_order_of_vmap_and_grad():
    def loss(f, x, y):
        first, second = f(x, y)
        return first + jnp.square(second).sum()

    wrapped = one_by_one(function)
    inside = jax.vmap(jax.grad(lambda x, y: loss(wrapped, x, y)))(X, Y)
    outside = jax.grad(
        lambda x: jax.vmap(lambda x, y: loss(wrapped, x, y))(x, Y).sum()
    )(X)
    expected = jnp.cos(X) * Y[:, None] + 4 * X**3
    np.testing.assert_allclose(inside, expected, rtol=1e-5)
    np.testing.assert_allclose(outside, expected, rtol=1e-5)


def test_on_a_cpu_a_batch_is_a_loop():
    jaxpr = str(jax.make_jaxpr(jax.vmap(one_by_one(function)))(X, Y))
    assert ("scan" in jaxpr) == (jax.default_backend() == "cpu")
