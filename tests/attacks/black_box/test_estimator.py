import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks.black_box.estimator import Estimator, gradient_estimate

X = jnp.array([0.2, -0.1, 0.0, 0.1])


@pytest.mark.parametrize(("num_samples", "size"), [(50, 200), (200, 50), (10, 10)])
def test_an_estimates_cosine_is_what_its_samples_allow(num_samples, size):
    normal = jax.random.normal(jax.random.key(9), (size,))
    keys = jax.random.split(jax.random.key(0), 400)
    found, mean = jax.jit(
        jax.vmap(
            lambda key: gradient_estimate(
                lambda x: normal @ x + 5.0,
                jnp.zeros(size), key, sigma=0.1, num_samples=num_samples,
            )
        )
    )(keys)  # fmt: skip
    cosine = found @ normal / jnp.linalg.norm(found, axis=1) / jnp.linalg.norm(normal)
    # The estimate is the normal times a Wishart matrix over its degrees of freedom.
    expected = (1 + (size + 1) / (num_samples / 2)) ** -0.5
    np.testing.assert_allclose(cosine.mean(), expected, rtol=0.06)
    # Antithetic pairs cancel the constant exactly, and the mean is free of noise.
    np.testing.assert_allclose(mean, 5.0, rtol=1e-5)
    error = jnp.linalg.norm(found.mean(0) - normal) / jnp.linalg.norm(normal)
    assert error < 3 * (size / (num_samples / 2) / 400) ** 0.5


def test_pairs_of_which_one_is_hidden_do_not_mislead():
    # Half of the probes are hidden: those whose first entry grows by more than 1/3.
    def loss(x):
        return jnp.where(x[0] < 0.3, 5.0 + x.sum(), jnp.inf)

    estimate = functools.partial(
        gradient_estimate, loss, jnp.zeros(4), sigma=0.5, num_samples=40
    )
    found, mean = jax.vmap(estimate)(jax.random.split(jax.random.key(0), 300))
    assert (found.sum(axis=1) > 0).mean() > 0.97
    np.testing.assert_allclose(mean, 5.0, rtol=1e-5)
    nothing, mean = estimate(jax.random.key(1), sigma=1e-12)
    assert jnp.isfinite(nothing).all()
    nothing, mean = gradient_estimate(
        lambda x: -jnp.inf * jnp.ones(()), X, jax.random.key(1), sigma=0.1,
        num_samples=4,
    )  # fmt: skip
    np.testing.assert_array_equal(nothing, jnp.zeros(4))
    assert mean == jnp.inf


def test_the_rate_falls_on_a_plateau_and_no_further_than_its_least():
    estimator = Estimator(
        num_samples=2,
        relative_sigma=1.0,
        relative_max_step=8.0,
        relative_min_step=3.0,
        plateau_length=3,
        plateau_drop=2.0,
        momentum=0.9,
    )
    budget = jnp.float32(1.0)
    estimates = estimator.begin(X, budget)
    seen = []
    for loss in [5, 4, 3, 3.5, 3.2, 3.4, 3.3, 3.5, 9, 9, 10]:
        estimates = estimator.add(estimates, X, jnp.float32(loss), budget)
        seen.append(float(estimates.rate))
    # Of three in a row the last is first above the first at 3, 3.5, 3.2; the row then
    # starts anew at 3.4, 3.3, 3.5.
    assert seen == [8, 8, 8, 8, 4, 4, 4, 3, 3, 3, 3]
    # The weights of eleven equal gradients.
    np.testing.assert_allclose(estimates.gradient, (1 - 0.9**11) * X, rtol=1e-5)
