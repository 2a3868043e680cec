import jax.numpy as jnp
import numpy as np

from advjax.probabilities import log_mean_softmax


def test_the_log_of_a_vanishing_mean_is_finite():
    # In float32 the softmax of the second class is 0 for both copies.
    logits = jnp.asarray([[[0.0, -200.0], [0.0, -300.0]]])
    got = log_mean_softmax(logits)
    np.testing.assert_allclose(got[0], [0.0, -200.0 - np.log(2)], rtol=1e-6)


def test_the_mean_is_over_the_first_rows_that_count():
    logits = jnp.asarray(np.random.default_rng(0).normal(size=(2, 4, 3)), jnp.float32)
    got = log_mean_softmax(logits, jnp.array([1, 3]))
    for row, each, count in zip(got, logits, (1, 3), strict=True):
        np.testing.assert_allclose(row, log_mean_softmax(each[:count]), rtol=1e-5)
