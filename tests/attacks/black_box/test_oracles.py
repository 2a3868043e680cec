import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks.black_box import oracles
from tests.problems import linear

F = linear(np.diag([1.0, 2.0, 3.0, 4.0]), np.zeros(4))
X = jnp.array([0.3, 0.9, -0.2, 0.1])
LOG_P = jax.nn.log_softmax(F(X))


@pytest.mark.parametrize(
    "oracle", [oracles.scores(F), oracles.top_k(F, 1), oracles.top_k(F, 3)]
)
def test_no_gradient_comes_through(oracle):
    assert np.abs(jax.jacobian(F)(X)).max() > 1
    np.testing.assert_array_equal(jax.jacrev(lambda x: oracle(x)[1])(X), jnp.zeros(4))


def test_scores_are_log_probabilities():
    np.testing.assert_allclose(jnp.exp(oracles.scores(F)(X)).sum(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(oracles.scores(F)(X), LOG_P, rtol=1e-6)


@pytest.mark.parametrize("k", [1, 2, 3, 4, 9])
def test_the_k_best_are_shown_and_no_more(k):
    shown = np.asarray(oracles.top_k(F, k)(X))
    best = np.sort(np.argsort(LOG_P)[::-1][:k])
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(shown)), best)
    np.testing.assert_allclose(shown[best], LOG_P[best], rtol=1e-6)


def test_of_equal_classes_only_k_are_shown():
    shown = oracles.top_k(F, 2)(jnp.zeros(4))
    np.testing.assert_array_equal(jnp.isfinite(shown), [True, True, False, False])


def test_an_oracle_that_shows_nothing_is_refused():
    with pytest.raises(ValueError, match="at least the best class"):
        oracles.top_k(F, 0)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_goal_is_judged_by_the_shown_classes(targeted):
    for y in range(4):
        reached = oracles.is_reached(
            oracles.top_k(F, 1)(X), jnp.int32(y), targeted=targeted
        )
        assert bool(reached) == ((y == 1) == targeted)


def test_a_broken_classifier_is_no_success():
    broken = oracles.top_k(lambda x: F(x).at[2].set(jnp.nan), 1)(X)
    for y in range(4):
        for targeted in (False, True):
            assert not oracles.is_reached(broken, jnp.int32(y), targeted=targeted)
