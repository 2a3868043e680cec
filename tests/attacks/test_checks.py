import jax
import numpy as np
import pytest

from advjax.attacks.checks import check_classifier, zero_gradient_shares
from tests.problems import linear

X = np.random.default_rng(0).uniform(-1, 1, (4, 5)).astype(np.float32)
LOGITS = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)


def test_logits_within_bounds_pass():
    check_classifier(LOGITS, X, (-1.0, 1.0))
    check_classifier(LOGITS, X, (-np.inf, np.inf))
    # Log probabilities are logits too.
    check_classifier(np.asarray(jax.nn.log_softmax(LOGITS)), X, (-1.0, 1.0))


def test_probabilities_are_recognised():
    with pytest.raises(ValueError, match="returns probabilities"):
        check_classifier(np.asarray(jax.nn.softmax(LOGITS)), X, (-1.0, 1.0))


def test_logits_that_are_not_finite_are_counted():
    bad = LOGITS.copy()
    bad[2, 1] = np.nan
    with pytest.raises(ValueError, match="1 of 4 examples.*number 2"):
        check_classifier(bad, X, (-1.0, 1.0))


@pytest.mark.parametrize("bounds", [(-1.0, 0.5), (0.0, 1.0)])
def test_examples_outside_the_bounds_are_refused(bounds):
    with pytest.raises(ValueError, match="outside the attack's bounds"):
        check_classifier(LOGITS, X, bounds)


def test_zero_gradients_are_counted_entry_by_entry():
    weights = np.random.default_rng(2).normal(size=(3, 5))
    weights[:, :2] = 0
    shares = zero_gradient_shares(
        linear(weights, np.zeros(3)), X, np.zeros(4, int), batch_size=3
    )
    np.testing.assert_allclose(shares, 0.4)
