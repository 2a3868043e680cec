import jax
import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from advjax.signal.masking import masking_threshold
from advjax.smoothing import certify, masked, predict
from tests.problems import half_space

RATE, KEY = 16_000, jax.random.key(4)
NUM_SAMPLES = 8_192
SECONDS = np.arange(NUM_SAMPLES) / RATE
CHORD = 0.2 * sum(np.sin(2 * np.pi * hz * SECONDS) for hz in (440, 1000, 3100))
# Without a floor of noise, phases would be those of rounding errors.
HISS = 0.01 * np.random.default_rng(0).normal(size=NUM_SAMPLES)
X = jnp.asarray(CHORD + HISS, jnp.float32)

noisy = jax.jit(lambda sample, x: sample(KEY, x))


def noise_of(distribution, x=X):
    return np.asarray(noisy(distribution.sample, x), np.float64) - np.asarray(x)


def transform(wave):
    return librosa.stft(wave, n_fft=2048, hop_length=512, window="hann", center=False).T


def test_noise_is_what_the_definition_gives():
    threshold = jax.jit(lambda x: masking_threshold(x, sample_rate_hz=RATE))(X)
    theta = np.asarray(threshold.power, np.float64)
    least = 3 / 8 * 2048 * np.sqrt(theta * float(threshold.peak) / 10**9.6)
    normal = np.asarray(jax.random.normal(KEY, theta.shape))
    clip = transform(32768 * np.asarray(X, np.float64))
    assert clip.shape == theta.shape
    spectrum = np.maximum(0, 3 * least + least * normal) * np.exp(1j * np.angle(clip))
    expected = librosa.istft(
        spectrum.T, n_fft=2048, hop_length=512, window="hann", center=False
    )
    inner = slice(1536, NUM_SAMPLES - 1536)
    found = noise_of(masked())
    size = np.abs(found[inner]).max()
    assert size > 1e-4
    np.testing.assert_allclose(found[inner], expected[inner] / 32768, atol=1e-3 * size)


def test_ends_fade():
    noise = noise_of(masked())
    assert np.abs(noise[:100]).max() < 0.1 * np.abs(noise).max()
    assert np.abs(noise[-100:]).max() < 0.1 * np.abs(noise).max()


def test_factors_scale_the_noise_of_a_key():
    whole, tenth = noise_of(masked()), noise_of(masked(0.1))
    np.testing.assert_allclose(10 * tenth, whole, atol=1e-5)
    earlier = noise_of(masked(scale=(3 / 8) ** 0.5))
    np.testing.assert_allclose(earlier * (3 / 8) ** 0.5, whole, atol=1e-5)


def test_noise_follows_the_clip_to_silence():
    loud, soft = noise_of(masked()), noise_of(masked(), X / 8)
    # Levels are set so that the loudest entry has 96 dB, whatever the gain.
    np.testing.assert_allclose(8 * soft, loud, atol=1e-5)
    assert np.isfinite(noise_of(masked(), jnp.zeros_like(X))).all()


def test_it_predicts_and_does_not_certify():
    logits_fn = half_space(np.asarray(X))
    assert (
        predict(
            logits_fn, X, KEY, noise=masked(), num_samples=20, alpha=1e-3
        ).prediction
        == 1
    )
    with pytest.raises(ValueError, match="no known certificate"):
        certify(logits_fn, X, KEY, noise=masked())
