import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import evaluation
from advjax.classifier import BaseClassifier
from advjax.representations import Magnitude, Waveform
from advjax.smoothing import gaussian

W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def test_batched_logits_equal_single_ones_whatever_the_remainder():
    x = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    for batch_size in (1, 3, 7, 50):
        found = evaluation.logits_of_batch(LINEAR, x, batch_size=batch_size)
        np.testing.assert_allclose(found, x @ np.asarray(W), atol=1e-6)


def test_a_network_is_traced_once():
    traced = []

    def network(x):
        traced.append(x.shape)
        return jnp.stack([x.sum(), x.max()])

    x = np.arange(12, dtype=np.float32).reshape(4, 3)
    for batch_size in (2, 3):
        found = evaluation.logits_of_batch(network, x, batch_size=batch_size)
        np.testing.assert_array_equal(found, np.stack([x.sum(1), x.max(1)], axis=1))
    assert traced == [(3,)]


def test_stage_features_start_from_the_stored_integers():
    audio = np.random.default_rng(0).integers(-3000, 3000, 25_800).astype(np.int16)
    found = evaluation.stage_features(Magnitude(), audio)
    expected = Magnitude().apply(jnp.asarray(audio, jnp.float32) / 32768)
    np.testing.assert_allclose(found, expected, atol=1e-5)


class Fixed(BaseClassifier):
    """The linear classifier, at a waveform of three samples."""

    name, labels, representation = "fixed", ("a", "b"), Waveform(num_samples=3)

    def logits(self, features):
        return LINEAR(features)

    def num_parameters(self):
        return W.size

    def digest(self):
        return "0" * 16

    def logits_fn(self, at, *, precision="float32"):
        return LINEAR


def test_accuracy_under_noise_in_batches_is_that_of_all_at_once():
    x = np.random.default_rng(2).normal(size=(11, 3)).astype(np.float32)
    y = np.random.default_rng(3).integers(0, 2, 11)
    noise, key = gaussian(0.8), jax.random.key(7)
    copies = jax.vmap(noise.sample)(jax.random.split(key, 11), x)
    wanted = float((np.asarray(copies @ W).argmax(axis=1) == y).mean())
    for batch_size in (3, 11, 50):
        found = evaluation.clean_accuracy(
            Fixed(), x, y, at="waveform", noise=noise, key=key, batch_size=batch_size
        )
        assert found == pytest.approx(wanted)
