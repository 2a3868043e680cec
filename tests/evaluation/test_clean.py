import jax
import jax.numpy as jnp
import numpy as np

from advjax import evaluation
from advjax.representations import Magnitude

W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def test_batched_logits_equal_single_ones_whatever_the_remainder():
    x = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    for batch_size in (1, 3, 7, 50):
        found = evaluation.logits_of_batch(LINEAR, x, batch_size=batch_size)
        np.testing.assert_allclose(found, x @ np.asarray(W), atol=1e-6)


def test_stage_features_start_from_the_stored_integers():
    audio = np.random.default_rng(0).integers(-3000, 3000, 25_800).astype(np.int16)
    found = evaluation.stage_features(Magnitude(), audio)
    expected = Magnitude().apply(jnp.asarray(audio, jnp.float32) / 32768)
    np.testing.assert_allclose(found, expected, atol=1e-5)
