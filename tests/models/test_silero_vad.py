"""Frames and poolings of the speech detector; see also `tests/pretrained`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from advjax.models.silero_vad import SileroVad, _frames, linear_softmax


def test_frames_have_the_samples_before_them_and_a_mirror_behind():
    wave = np.arange(1.0, 1_101.0, dtype=np.float32)
    frames = np.asarray(_frames(jnp.asarray(wave)[None])[0])
    assert frames.shape == (3, 640)
    padded = np.concatenate([np.zeros(64), wave, np.zeros(436)])
    for number, frame in enumerate(frames):
        part = padded[512 * number :][:576]
        np.testing.assert_array_equal(frame[:576], part)
        np.testing.assert_array_equal(frame[576:], part[-65:-1][::-1])


def test_the_pooling_equals_its_formula():
    frames = np.random.default_rng(0).normal(0, 4, (5, 30))
    p = expit(frames)
    clip = (p**2).sum(axis=1) / p.sum(axis=1)
    found = linear_softmax(jnp.float32(frames))
    np.testing.assert_allclose(found, np.log(clip / (1 - clip)), rtol=1e-4)
    # Certain frames neither overflow nor lose their gradient.
    certain = jnp.full((1, 30), 60.0)
    assert float(linear_softmax(certain)[0]) == pytest.approx(60.0)
    gradient = jax.grad(lambda x: linear_softmax(x)[0])(certain)
    np.testing.assert_allclose(gradient, 1 / 30, rtol=1e-4)


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_classes=3: silero_vad has the classes"):
        SileroVad(num_classes=3)
    with pytest.raises(ValueError, match="choose linear_softmax or max"):
        SileroVad(pooling="mean")
