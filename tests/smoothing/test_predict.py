import jax
import jax.numpy as jnp
import pytest
from scipy import stats

from advjax.smoothing import ABSTAIN, Noise, gaussian, predict
from tests.problems import half_space

NORMAL, OFFSET, SIGMA = (0.6, 0.0, -0.8, 0.0), 0.1, 0.25
NOISE = gaussian(SIGMA)


def at_distance(ratio):
    """A point of class 1, `ratio` sigma from the plane."""
    return jnp.asarray(NORMAL, jnp.float32) * (ratio * SIGMA - OFFSET)


def test_predict_answers_or_abstains():
    logits_fn, key = half_space(NORMAL, OFFSET), jax.random.key(0)
    sure = predict(logits_fn, at_distance(1.0), key, noise=NOISE, num_samples=100)
    assert sure.prediction == 1
    votes = sure.votes
    assert sure.p_value == stats.binomtest(votes, 100, 0.5).pvalue <= 1e-3
    torn = predict(logits_fn, at_distance(0.0), key, noise=NOISE, num_samples=100)
    assert torn.prediction == ABSTAIN
    assert torn.p_value > 1e-3


def test_predict_of_eleven_unanimous_votes():
    still = Noise(lambda key, x: x, None, "l2")
    logits_fn, x, key = half_space(NORMAL, OFFSET), at_distance(1.0), jax.random.key(0)
    assert predict(logits_fn, x, key, noise=still, num_samples=11).prediction == 1
    with pytest.raises(ValueError, match="at least 11"):
        predict(logits_fn, x, key, noise=still, num_samples=10)


def test_predict_counts_invalid_copies_as_a_rival():
    def logits(x):
        return jnp.stack([jnp.where(x[0] > 0, jnp.nan, 1.0), 0 * x[0]])

    prediction = predict(
        logits, jnp.zeros(1), jax.random.key(0), noise=NOISE, num_samples=1000
    )
    assert prediction.prediction == ABSTAIN
