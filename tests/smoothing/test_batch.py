import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from advjax.smoothing import ABSTAIN, Certificates, certify, certify_batch, gaussian
from tests.problems import half_space

SIGMA, NORMAL = 0.25, np.array([0.6, -0.8], np.float32)
LOGITS_FN, NOISE, KEY = half_space(NORMAL), gaussian(SIGMA), jax.random.key(3)
X = np.stack([NORMAL * SIGMA * depth for depth in (2.0, -2.0, 0.0, 1.0)])
Y = np.array([1, 1, 0, 1])
OPTIONS = {"noise": NOISE, "num_estimation": 400}


@pytest.fixture(scope="module")
def found() -> Certificates:
    return certify_batch(LOGITS_FN, X, Y, KEY, **OPTIONS)


def test_each_certificate_is_that_of_its_own_key(found):
    for i in (0, 3):
        alone = certify(LOGITS_FN, X[i], jax.random.fold_in(KEY, i), **OPTIONS)
        assert found[i] == alone
    fewer = certify_batch(LOGITS_FN, jnp.asarray(X[:2]), Y[:2].tolist(), KEY, **OPTIONS)
    assert list(fewer) == list(found)[:2]


def test_labels_decide_what_is_correct(found):
    assert len(found) == 4
    assert found.prediction.tolist() == [1, 0, ABSTAIN, 1]
    assert found.correct.tolist() == [True, False, False, True]
    assert found.radius[2] == 0.0
    # Unanimous votes of 400 at alpha 0.001.
    assert found.max_radius == pytest.approx(SIGMA * stats.norm.ppf(0.001 ** (1 / 400)))


def test_accuracy_falls_with_the_radius(found):
    low, high = sorted(found.radius[found.correct])
    got = found.accuracy([0.0, low, (low + high) / 2, high, 2 * high])
    np.testing.assert_array_equal(got, [0.5, 0.5, 0.25, 0.25, 0.0])
    radius, accuracy = found.curve()
    assert (radius[0], accuracy[0]) == (0.0, 0.5)
    assert (radius[-1], accuracy[-1]) == (found.max_radius, 0.0)


def test_a_batch_in_words(found, capsys):
    text = repr(found)
    assert "4 examples" in text and "0.500 correct" in text and "0.250 abst" in text
    certify_batch(LOGITS_FN, X[:1], Y[:1], KEY, **OPTIONS, progress=True)
    assert "certify: 1 examples" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"x": X[:0], "y": Y[:0]}, r"shape \[0, 2\]"),
        ({"y": Y[:2]}, "4 of them"),
        ({"y": Y + 1}, "label 2 is no class"),
        ({"y": Y / 2}, "labels hold float64"),
        ({"x": X.astype(int)}, "holds int64"),
        ({"noise": 0.25}, "noise=0.25"),
        ({"key": 3}, "key=3"),
    ],
)
def test_batches_that_cannot_be_certified_are_refused(given, message):
    with pytest.raises(ValueError, match=message):
        certify_batch(LOGITS_FN, **{"x": X, "y": Y, "key": KEY, **OPTIONS} | given)
