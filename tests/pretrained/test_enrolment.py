"""Enrolled speakers, with random weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import checkpoint
from advjax.classifier import initialise
from advjax.models import GE2E
from advjax.pretrained import EnrolmentNoise, Weights, enrol, load
from advjax.representations import MelPartials, Waveform

REP = MelPartials(
    source=Waveform(num_samples=4_000), partial_frames=20, partials_per_second=8.0
)
LABELS = ("ada", "bob", "cyd")


@pytest.fixture(scope="module")
def weights():
    module = GE2E(num_classes=3, width=8)
    params = dict(initialise(module, REP, jax.random.key(0))["params"])
    del params["speakers"]
    return Weights(jax.device_get(params), "published==1.2: file", "0" * 16)


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(0, 0.1, (35, 4_000))), np.arange(35) % 3


def test_speakers_are_the_mean_embeddings_of_their_clips(weights, clips, tmp_path):
    module, (x, y) = GE2E(num_classes=3, width=8), clips
    features = np.asarray(jax.vmap(REP.apply)(x))
    found = enrol(module, weights, REP, features, y, labels=LABELS)
    x = jnp.asarray(features)
    embeddings = np.asarray(module.apply(found.variables, x, method="embed"))
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0, rtol=1e-5)
    means = np.stack([embeddings[y == label].mean(axis=0) for label in range(3)])
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    np.testing.assert_allclose(found.variables["params"]["speakers"], means, atol=1e-5)
    logits = found.logits_fn("waveform")(jnp.asarray(clips[0][0]))
    np.testing.assert_allclose(logits, 10.0 * means @ embeddings[0], atol=1e-4)
    checkpoint.save(tmp_path / "saved", found)
    assert checkpoint.load(tmp_path / "saved").digest() == found.digest()


def test_noise_enters_at_its_stage_and_depends_on_the_seed(weights, clips):
    module, (x, y) = GE2E(num_classes=3, width=8), clips

    def speakers(x, sigma, seed, at="waveform"):
        noise = EnrolmentNoise(at, sigma, seed)
        made = enrol(module, weights, REP, x, y, labels=LABELS, noise=noise)
        return made.variables["params"]["speakers"]

    clean = speakers(np.asarray(jax.vmap(REP.apply)(x)), 0.0, 0, "mel_partials")
    np.testing.assert_allclose(speakers(x, 0.0, 0), clean, atol=1e-5)
    noisy = speakers(x, 0.3, 0)
    assert np.abs(noisy - clean).max() > 1e-4
    np.testing.assert_array_equal(speakers(x, 0.3, 0), noisy)
    assert np.abs(noisy - speakers(x, 0.3, 1)).max() > 1e-5


def test_a_speaker_without_a_clip_is_named(weights, clips):
    x, y = clips
    features = np.asarray(jax.vmap(REP.apply)(x[:2]))
    with pytest.raises(ValueError, match="no clip to enrol cyd from"):
        enrol(
            GE2E(num_classes=3, width=8), weights, REP, features, y[:2], labels=LABELS
        )


@pytest.mark.parametrize(
    ("options", "representation"),
    [({"width": 4}, REP), ({"num_layers": 2}, REP), ({}, MelPartials(num_bands=20))],
)
def test_options_that_the_weights_do_not_fit_are_refused(
    weights, options, representation
):
    module = GE2E(**{"num_classes": 3, "width": 8, **options})
    speakers = np.zeros((3, module.width), np.float32)
    with pytest.raises(ValueError, match="do not fit this network"):
        load(module, weights, representation, LABELS, speakers=speakers)
