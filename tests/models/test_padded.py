"""Networks and front ends give padded clips the logits of their own length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.classifier import Classifier, initialise
from advjax.evaluation import logits_of_batch
from advjax.models import MODELS
from advjax.padding import PaddedLogits, pad
from advjax.representations import ConstantQChunks, LogMelChunks, Magnitude
from tests.problems import linear

LOGMEL = LogMelChunks(chunk_frames=32)  # 16,384 samples
CONSTANT_Q = ConstantQChunks(chunk_frames=32)
WAVE = LogMelChunks().source
LENGTHS = (1, 3)
CASES = [
    pytest.param("vgg13", LOGMEL, 16_384, id="vgg13"),
    pytest.param("vgg13", CONSTANT_Q, 16_384, id="constant_q"),
    pytest.param("gcnn", LOGMEL, 16_384, id="gcnn"),
    pytest.param("crnn", LOGMEL, 16_384, id="crnn"),
    pytest.param("dense_mel", WAVE, 65_536, id="dense_mel"),
    pytest.param("dense_wav", WAVE, 65_536, id="dense_wav"),
]


def clips(chunk):
    """Noise that ends with a click, whose tail later frames would hear.

    Each clip is softer than the one before: networks tell them apart.
    """
    generator = np.random.default_rng(0)
    found = [
        generator.normal(0, 0.01 * 10**-index, n * chunk).astype(np.float32)
        for index, n in enumerate(LENGTHS)
    ]
    for clip in found:
        clip[-3:] = 0.9
    return found


def classifier_of(name, front_end):
    """A network whose norms have shifts, as after training."""
    module = MODELS[name](num_classes=3, width=2)
    variables = initialise(module, front_end, jax.random.key(0))
    keys = iter(jax.random.split(jax.random.key(1), 500))

    def shifted(a):
        return a + 0.3 * jax.random.uniform(next(keys), a.shape) if a.ndim == 1 else a

    variables = jax.tree.map(shifted, variables)
    return Classifier(variables, module, front_end, ("a", "b", "c"))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "front_end", "chunk"), CASES)
def test_padded_clips_have_the_logits_of_their_own_length(name, front_end, chunk):
    waves = clips(chunk)
    logits_fn = classifier_of(name, front_end).logits_fn("waveform")
    found = logits_of_batch(logits_fn, pad(waves, 4 * chunk), batch_size=2)
    wanted = [logits_of_batch(logits_fn, w[None], batch_size=1)[0] for w in waves]
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
    np.testing.assert_allclose(found, wanted, atol=2e-4, rtol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "front_end", "chunk"), CASES)
def test_gradients_are_those_of_the_own_length(name, front_end, chunk):
    (wave, _), length = clips(chunk), np.int32(chunk)
    logits_fn = classifier_of(name, front_end).logits_fn("waveform")
    slope = jax.jit(jax.grad(lambda x: logits_fn(x)[0]))
    padded = PaddedLogits(logits_fn, length)
    found = jax.jit(jax.grad(lambda x: padded(x)[0]))(np.pad(wave, (0, chunk)))
    wanted = np.asarray(slope(wave))
    assert not np.asarray(found[chunk:]).any()
    np.testing.assert_allclose(
        found[:chunk], wanted, atol=1e-3 * np.abs(wanted).max(), rtol=1e-2
    )


def test_a_front_end_of_one_length_refuses_padding():
    front_end = Magnitude()
    with pytest.raises(ValueError, match="takes no padded examples"):
        front_end.step_padded(jnp.zeros(front_end.source.feature_shape), np.int32(3))


def test_a_network_without_lengths_refuses_padded_clips():
    with pytest.raises(ValueError, match="the classifier failed"):
        logits_of_batch(linear(np.ones((2, 4)), np.ones(2)), pad([np.ones(3, "f")], 4))
