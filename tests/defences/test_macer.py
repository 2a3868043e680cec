"""The soft certified radius, compared with SciPy, and its gradient at the ends."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from advjax.defences import macer
from advjax.types import Batch

KEY = jax.random.key(3)


def loss(logits, y, **options):
    """The loss of one example whose copies have the rows of `logits`."""

    def answers(params, batch_stats, x, key):
        del x, key
        return params, batch_stats

    defence = macer(num_noises=len(logits), **options)
    batch = Batch(jnp.zeros((1, 2)), jnp.asarray([y]))
    step = jax.jit(lambda params: defence(answers, params, {}, batch, KEY))
    got = step(jnp.asarray(logits, jnp.float32))
    return float(got.metrics["loss"]), np.asarray(got.params)


LOGITS = np.asarray([[1.0, 0.2, -0.4], [0.3, 0.5, 0.0], [0.9, 0.1, 0.2]])


def shares(beta):
    return scipy.special.softmax(beta * LOGITS, axis=-1).mean(axis=0)


def test_a_right_example_pays_for_what_its_radius_lacks():
    ordered = np.sort(shares(2.0))[::-1]
    margin = scipy.stats.norm.ppf(ordered[0]) - scipy.stats.norm.ppf(ordered[1])
    log_loss = -np.log(shares(1.0)[0])
    wanted = log_loss + 12.0 * 0.25 / 2 * (3.0 - margin)
    got = loss(LOGITS, 0, sigma=0.25, gamma=3.0, beta=2.0)[0]
    assert got == pytest.approx(wanted, rel=1e-5)


@pytest.mark.parametrize(("y", "gamma"), [(1, 3.0), (0, 0.1)])
def test_a_wrong_example_and_a_long_radius_pay_the_log_loss_alone(y, gamma):
    got = loss(LOGITS, y, sigma=0.25, gamma=gamma, beta=2.0)
    wanted = loss(LOGITS, y, sigma=0.25, lbd=0.0)
    assert wanted[0] == pytest.approx(-np.log(shares(1.0)[y]), rel=1e-5)
    assert got[0] == pytest.approx(wanted[0], rel=1e-6)
    np.testing.assert_allclose(got[1], wanted[1], rtol=1e-5)


def test_two_classes_have_the_radius_of_the_smoothed_softmax():
    # One noise-free copy of a linear classifier: its share is the logistic of the
    # logits' difference, and the radius sigma times the share's quantile.
    x, sigma, gamma = 0.8, 0.5, 4.0
    share = scipy.special.expit(16.0 * 0.1 * x)
    radius = sigma * scipy.stats.norm.ppf(share)
    got = loss([[0.1 * x, 0.0]], 0, sigma=sigma, lbd=1.0, gamma=gamma)[0]
    log_loss = -np.log(scipy.special.expit(0.1 * x))
    assert got - log_loss == pytest.approx(sigma * gamma / 2 - radius, rel=1e-5)


@pytest.mark.parametrize("difference", [0.5, 0.9, 1.0, 1.1, 3.0, 100.0])
def test_the_gradient_is_finite_however_sure_the_network_is(difference):
    # At beta = 16 the share is 1 in float32 from a difference of about 1.
    logits = np.asarray([[difference, 0.0, 0.0]] * 2)
    for gamma in (8.0, 1e6):
        value, grads = loss(logits, 0, sigma=0.5, gamma=gamma)
        assert np.isfinite(value) and np.isfinite(grads).all()


@pytest.mark.parametrize(
    "options", [{"lbd": -1.0}, {"gamma": float("inf")}, {"beta": -16.0}]
)
def test_impossible_weights_are_refused(options):
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        macer(sigma=0.5, **options)
