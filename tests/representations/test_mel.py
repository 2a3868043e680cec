import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import (
    Log1pMelMagnitudes,
    LogMel,
    Magnitude,
    MelEnergies,
    MelMagnitudes,
)


def mfbe_of_python_speech_features(wave):
    psf = pytest.importorskip("python_speech_features")
    energies, _ = psf.fbank(wave, 16_000, nfilt=64, nfft=512)
    deviation = np.maximum(energies.std(axis=1, keepdims=True), 1e-12)
    return (energies - energies.mean(axis=1, keepdims=True)) / deviation


def test_mfbe_equals_python_speech_features_on_noise():
    wave = np.random.default_rng(0).normal(0, 0.1, 25_800).astype(np.float32)
    ours = np.asarray(MelEnergies().apply(jnp.asarray(wave)))[..., 0]
    np.testing.assert_allclose(ours, mfbe_of_python_speech_features(wave), atol=1e-4)


def test_mfbe_equals_python_speech_features_on_real_speech(advjax_data):
    soundfile = pytest.importorskip("soundfile")
    paths = sorted((advjax_data / "LibriSpeech").rglob("*.flac"))[::5]
    assert paths
    apply = jax.jit(MelEnergies().apply)
    worst = 0.0
    for path in paths:
        wave = soundfile.read(path, dtype="float32")[0][:25_800]
        difference = np.asarray(apply(wave))[..., 0] - mfbe_of_python_speech_features(
            wave
        )
        worst = max(worst, np.abs(difference).max())
    assert worst < 1e-4  # float32 against float64: measured 2e-6


def test_mfbe_has_the_derived_norms():
    wave = np.random.default_rng(1).normal(0, 0.01, 25_800).astype(np.float32)
    features = np.asarray(MelEnergies().apply(jnp.asarray(wave)))
    assert features.shape == (160, 64, 1)
    np.testing.assert_allclose(np.linalg.norm(features, axis=(1, 2)), 8, rtol=1e-4)
    assert np.linalg.norm(features) == pytest.approx(np.sqrt(10_240), rel=1e-4)


def test_mfbe_of_one_sounding_band_reaches_the_bound():
    magnitude = np.zeros((160, 257, 1), np.float32)
    magnitude[:, 3] = 1.0
    features = MelEnergies().step(jnp.asarray(magnitude))
    assert float(features.max()) <= MelEnergies().bounds[1] * (1 + 1e-6)


def test_magnitude_is_that_of_the_pre_emphasised_frames():
    wave = np.random.default_rng(2).normal(0, 0.1, 25_800).astype(np.float32)
    emphasised = np.append(wave[0], wave[1:] - 0.97 * wave[:-1])
    ours = np.asarray(Magnitude().apply(jnp.asarray(wave)))
    assert ours.shape == (160, 257, 1)
    theirs = np.abs(np.fft.rfft(emphasised[1600:2000], 512))
    np.testing.assert_allclose(ours[10, :, 0], theirs, atol=1e-4)


def test_logmel_of_a_louder_clip_is_shifted():
    wave = np.random.default_rng(3).normal(0, 0.1, 25_800).astype(np.float32)
    rep = LogMel(floor=1e-12)
    shift = rep.apply(jnp.asarray(2 * wave)) - rep.apply(jnp.asarray(wave))
    np.testing.assert_allclose(shift, 2 * np.log(2), atol=1e-3)


def test_mel_bands_of_magnitudes_are_sums_with_the_filters_and_turn_back():
    wave = np.random.default_rng(5).normal(0, 0.1, 25_800).astype(np.float32)
    magnitude = jax.jit(Magnitude().apply)(jnp.asarray(wave))
    psf = pytest.importorskip("python_speech_features")
    filters = psf.get_filterbanks(64, 512, 16_000).T
    bands = MelMagnitudes().step(magnitude)
    judge = np.float64(magnitude[..., 0]) @ filters
    np.testing.assert_allclose(bands[..., 0], judge, rtol=1e-5)
    logs = Log1pMelMagnitudes().step(bands)
    np.testing.assert_allclose(logs[..., 0], np.log1p(judge), rtol=1e-5)
    back = Log1pMelMagnitudes().inverse(logs, reference=bands)
    np.testing.assert_allclose(back, bands, rtol=1e-4)
    unchanged = MelMagnitudes().inverse(back, reference=magnitude)
    np.testing.assert_allclose(unchanged, magnitude, rtol=1e-3, atol=1e-6)
    doubled = MelMagnitudes().step(
        MelMagnitudes().inverse(2 * bands, reference=magnitude)
    )
    np.testing.assert_allclose(doubled, 2 * bands, rtol=1e-3)


def test_bands_that_noise_puts_below_zero_have_the_logarithm_of_none():
    x = jnp.array([[[-3.0], [-0.5], [0.0]]])
    value, gradient = jax.value_and_grad(lambda x: Log1pMelMagnitudes().step(x).sum())(
        x
    )
    assert value == 0 and jnp.isfinite(gradient).all()
