import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from advjax.signal.masking import threshold_in_quiet_db
from advjax.smoothing import coloured, ellipsoid_norm
from advjax.smoothing.noises.coloured import (
    a_weighting_db,
    mean_spectrum,
    spectral_gains,
    tone_radius_db,
)

RATE = 16_000


def matrix(gains, num_samples):
    """The circulant A, from its first column."""
    return linalg.circulant(np.fft.irfft(gains, num_samples))


@pytest.mark.parametrize(
    ("frequency_hz", "level_db"),
    # The standard's table at exact third octaves.
    [
        (10.0, -70.4),
        (19.95, -50.5),
        (100.0, -19.1),
        (501.2, -3.2),
        (1000.0, 0.0),
        (2512.0, 1.3),
        (10_000.0, -2.5),
        (19_950.0, -9.3),
    ],
)
def test_a_weighting_is_the_printed_table(frequency_hz, level_db):
    assert a_weighting_db(frequency_hz) == pytest.approx(level_db, abs=0.05)


@pytest.mark.parametrize("num_samples", [800, 801])
@pytest.mark.parametrize("curve", ["a_weighting", "threshold_in_quiet"])
def test_gains_follow_the_curve_with_the_power_of_white_noise(curve, num_samples):
    gains = spectral_gains(curve, num_samples=num_samples, sample_rate_hz=RATE)
    np.testing.assert_allclose(
        np.trace(matrix(gains, num_samples) @ matrix(gains, num_samples)),
        num_samples,
        rtol=1e-6,
    )
    hz = np.fft.rfftfreq(num_samples, 1 / RATE)
    level = {"a_weighting": lambda f: -a_weighting_db(f)}.get(
        curve, threshold_in_quiet_db
    )
    found_db = 20 * np.log10(gains.astype(float))
    wanted_db = level(np.maximum(hz, 20))
    np.testing.assert_allclose(
        found_db - found_db[5], wanted_db - wanted_db[5], atol=1e-5
    )


def test_draws_have_the_curve_as_spectrum():
    num_samples, sigma, num_draws = 60, 0.25, 2_000
    noise = coloured(sigma, num_samples=num_samples)
    gains = spectral_gains("a_weighting", num_samples=num_samples, sample_rate_hz=RATE)
    x = jnp.full(num_samples, 0.5)
    keys = jax.random.split(jax.random.key(0), num_draws)
    draws = np.asarray(jax.jit(jax.vmap(noise.sample, (0, None)))(keys, x)) - 0.5
    powers = np.abs(np.fft.rfft(draws.astype(float), axis=1)) ** 2 / num_samples
    ratios = powers / (sigma * gains.astype(float)) ** 2
    # Bins with two parts are exponential, 0 Hz and the last have one part.
    assert stats.kstest(ratios[:, 1:-1].ravel(), stats.expon.cdf).pvalue > 1e-3
    ends = ratios[:, [0, -1]].ravel()
    assert stats.kstest(ends, stats.chi2(1).cdf).pvalue > 1e-3
    assert stats.kstest(1.1 * ratios[:, 1:-1].ravel(), stats.expon.cdf).pvalue < 1e-3
    # And bin by bin, within five standard errors.
    np.testing.assert_allclose(ratios[:, 1:-1].mean(axis=0), 1, atol=5 / num_draws**0.5)


@pytest.mark.parametrize("num_samples", [16, 17])
def test_the_norm_is_that_of_the_inverse_matrix(num_samples):
    rng = np.random.default_rng(0)
    gains = spectral_gains(
        rng.uniform(0.1, 2.0, num_samples // 2 + 1),
        num_samples=num_samples,
        sample_rate_hz=RATE,
    )
    delta = rng.normal(size=num_samples).astype(np.float32)
    expected = np.linalg.norm(np.linalg.solve(matrix(gains, num_samples), delta))
    found = jax.jit(ellipsoid_norm)(delta, gains)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_tone_may_be_as_loud_as_its_gain():
    gains = spectral_gains("a_weighting", num_samples=160, sample_rate_hz=RATE)
    allowed_db = tone_radius_db(0.5, gains)
    for k in (1, 30, 79):
        tone = np.sin(2 * np.pi * k * np.arange(160) / 160)
        tone *= 10 ** (allowed_db[k] / 20) / np.linalg.norm(tone)
        norm = jax.jit(ellipsoid_norm)(tone.astype(np.float32), gains)
        np.testing.assert_allclose(norm, 0.5, rtol=1e-4)


def test_a_spectrum_of_clips_is_a_curve_with_a_floor():
    clips = np.stack([np.ones(8), 3 * np.ones(8)])
    spectrum = mean_spectrum(clips)
    np.testing.assert_allclose(spectrum, [16, 0, 0, 0, 0], atol=1e-12)
    gains = spectral_gains(spectrum, num_samples=8, sample_rate_hz=RATE)
    np.testing.assert_allclose(gains, np.sqrt(8) * np.array([1] + 4 * [1e-5]))


def test_curves_that_are_none_are_refused():
    for gains, message in (
        (np.ones(4), "4 gains.* 5 frequencies"),
        (np.zeros(5), "zero everywhere"),
        (np.array([1, 1, -1, 1, 1.0]), "negative"),
        (np.array([1, 1, np.nan, 1, 1.0]), "finite"),
        ("pink", "a_weighting"),
    ):
        with pytest.raises(ValueError, match=message):
            coloured(0.1, num_samples=8, curve=gains)
    with pytest.raises(ValueError, match="num_samples=12"):
        coloured(0.1, num_samples=8).sample(jax.random.key(0), jnp.zeros(12))
