import jax
import jax.numpy as jnp
import numpy as np
import optax

from advjax.defences.base import cross_entropy_gradients
from advjax.types import Batch

Y = jnp.asarray([0, 2, 1, 1])
X = jax.random.normal(jax.random.key(0), (4, 5))
PARAMS = jax.random.normal(jax.random.key(1), (3, 5, 3))


def loss(kernel):
    logits = X @ kernel
    return optax.softmax_cross_entropy(logits, jax.nn.one_hot(Y, 3)).mean()


def test_auxiliary_heads_add_three_tenths_of_their_loss():
    def apply(params, batch_stats, x, key):
        del key
        return (x @ params[0], x @ params[1], x @ params[2]), batch_stats

    found = cross_entropy_gradients(apply, PARAMS, {}, Batch(X, Y), jax.random.key(0))
    main, *auxiliary = map(loss, PARAMS)
    expected = main + 0.3 * sum(auxiliary)
    np.testing.assert_allclose(found.metrics["loss"], expected, rtol=1e-6)
    accuracy = ((X @ PARAMS[0]).argmax(axis=-1) == Y).mean()
    assert found.metrics["accuracy"] == accuracy
    # The loss without auxiliary heads differs.
    assert any(((X @ p).argmax(axis=-1) == Y).mean() != accuracy for p in PARAMS[1:])
    weights = jnp.asarray([1, 0.3, 0.3])[:, None, None]
    expected = weights * jax.vmap(jax.grad(loss))(PARAMS)
    np.testing.assert_allclose(found.params, expected, atol=1e-6)


def test_one_head_is_the_cross_entropy():
    def apply(params, batch_stats, x, key):
        del key
        return x @ params, batch_stats

    found = cross_entropy_gradients(
        apply, PARAMS[0], {}, Batch(X, Y), jax.random.key(0)
    )
    np.testing.assert_allclose(found.metrics["loss"], loss(PARAMS[0]), rtol=1e-6)
    np.testing.assert_allclose(found.params, jax.grad(loss)(PARAMS[0]), atol=1e-6)
