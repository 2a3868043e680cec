import jax
import jax.numpy as jnp
import numpy as np

from advjax.surf_svm.codebook import distances, histogram, mean_distances

GENERATOR = np.random.default_rng(0)
DESCRIPTORS = GENERATOR.normal(size=(11, 5)).astype(np.float32)
WORDS = GENERATOR.normal(size=(4, 5)).astype(np.float32)
PRESENT = np.arange(11) % 3 != 0


def loop(descriptors, present, words):
    """Reference: both encodings, one descriptor at a time."""
    sums, counts, seen = np.zeros(len(words)), np.zeros(len(words)), 0
    for descriptor, there in zip(descriptors, present, strict=True):
        if not there:
            continue
        away = [np.sqrt(sum((descriptor - word) ** 2)) for word in words]
        sums += away
        counts[int(np.argmin(away))] += 1
        seen += 1
    return sums / seen, counts / seen


def given(*arrays):
    return [jnp.asarray(array) for array in arrays]


def test_both_encoders_are_those_of_a_plain_loop():
    soft, hard = loop(DESCRIPTORS, PRESENT, WORDS)
    arrays = given(DESCRIPTORS, PRESENT, WORDS)
    np.testing.assert_allclose(mean_distances(*arrays), soft, rtol=1e-6)
    np.testing.assert_allclose(histogram(*arrays), hard, rtol=1e-6)


def test_an_image_without_descriptors_is_zero():
    arrays = given(DESCRIPTORS, np.zeros(11, bool), WORDS)
    assert (mean_distances(*arrays) == 0).all()
    assert (histogram(*arrays) == 0).all()


def test_a_descriptor_that_is_a_word_has_a_finite_gradient():
    found = distances(*given(WORDS, WORDS))
    np.testing.assert_allclose(np.diag(found), 0, atol=1e-3)
    gradient = jax.grad(lambda x: distances(x, jnp.asarray(WORDS)).sum())
    assert np.isfinite(gradient(jnp.asarray(WORDS))).all()


def test_backwards_a_count_moves_towards_the_word_that_is_asked_for():
    x, present, words = given(DESCRIPTORS[:1], np.ones(1, bool), WORDS)
    gradient = jax.grad(lambda x: histogram(x, present, words, sharpness=1.0)[2])(x)
    before, after = distances(x, words), distances(x + 0.1 * gradient, words)
    soft = [jax.nn.softmax(-away[0])[2] for away in (before, after)]
    assert soft[1] > soft[0]
