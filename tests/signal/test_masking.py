import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.signal.masking import (
    FULL_SCALE,
    NUM_BINS,
    PEAK_DB,
    bark,
    masking_threshold,
    perturbation_power,
    threshold_in_quiet_db,
)

RATE = 16_000
threshold_of = jax.jit(functools.partial(masking_threshold, sample_rate_hz=RATE))


def spectra(wave):
    """Powers of all whole frames in float64."""
    count = 1 + (len(wave) - 2048) // 512
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    frames = np.stack([wave[512 * i : 512 * i + 2048] for i in range(count)])
    found = np.abs(np.fft.rfft(frames * window * FULL_SCALE, axis=1)) / 2048
    return 8 / 3 * found**2


def plain_frame(levels, frequency_hz):
    """The threshold of one frame by the definition, one peak after the other."""
    where, quiet = bark(frequency_hz), threshold_in_quiet_db(frequency_hz)
    places = [
        k
        for k in range(1, len(levels) - 1)
        if levels[k] > levels[k - 1] and levels[k] > levels[k + 1]
    ]
    peaks = [
        (where[k], 10 * np.log10(sum(10 ** (levels[k - 1 : k + 2] / 10))), k)
        for k in places
    ]
    i = 0
    while i + 1 < len(peaks):
        while i + 1 < len(peaks) and peaks[i + 1][0] - peaks[i][0] < 0.5:
            if quiet[peaks[i][2]] > peaks[i][1]:
                del peaks[i]
                if i + 1 >= len(peaks):
                    break
            del peaks[i if peaks[i][1] < peaks[i + 1][1] else i + 1]
        i += 1
    total = np.where(where > 1, 10 ** (quiet / 10), 0.0)
    for at, level, _ in peaks:
        away = where - at
        slope = np.where(away > 0, -27 + 0.37 * max(level - 40, 0), 27)
        total = total + 10 ** ((level - 6.025 - 0.275 * at + slope * away) / 10)
    return total


def plain(wave):
    power = spectra(np.asarray(wave, np.float64))
    levels = PEAK_DB + 10 * np.log10((power + 1e-19) / (power.max() + 1e-19))
    frequency_hz = np.arange(NUM_BINS) * RATE / 2048
    return np.stack([plain_frame(frame, frequency_hz) for frame in levels])


def noise(samples=2048 + 9 * 512, seed=0):
    shaped = np.random.default_rng(seed).normal(size=samples).cumsum() * 0.005
    return (shaped - shaped.mean()).clip(-1, 1).astype(np.float32)


def assert_equal_db(found, expected):
    difference = np.abs(10 * np.log10(found) - 10 * np.log10(expected))
    assert difference.max() < 1e-3


def test_the_threshold_is_that_of_the_plain_reading():
    wave = noise()
    found = threshold_of(jnp.asarray(wave))
    assert_equal_db(np.asarray(found.power)[: len(plain(wave))], plain(wave))


def test_and_on_real_speech(advjax_data):
    soundfile = pytest.importorskip("soundfile")
    files = sorted((advjax_data / "LibriSpeech").rglob("*.flac"))[:2]
    assert files
    for file in files:
        wave, rate = soundfile.read(file, dtype="float32", frames=2048 + 60 * 512)
        assert rate == RATE
        found = threshold_of(jnp.asarray(wave))
        assert_equal_db(np.asarray(found.power)[:61], plain(wave))


def test_a_full_scale_sine_has_96_db_and_masks_its_surroundings():
    time = np.arange(2048 * 4) / RATE
    # The middle of bin 128.
    wave = np.sin(2 * np.pi * 1000 * time).astype(np.float32)
    found = threshold_of(jnp.asarray(wave))
    # A Hann window halves the sine, whose amplitude is half of each line's.
    assert float(found.peak) == pytest.approx(8 / 3 * (FULL_SCALE / 4) ** 2, rel=1e-4)
    theta = 10 * np.log10(np.asarray(found.power)[2])
    at, z = 128, bark(np.arange(NUM_BINS) * RATE / 2048)
    # Its neighbours have half its amplitude each: 1.5 times the power in all.
    level = PEAK_DB + 10 * np.log10(1.5)
    peak = level - 6.025 - 0.275 * z[at]
    assert theta[at] == pytest.approx(peak, abs=0.01)
    up = peak + (-27 + 0.37 * (level - 40)) * (z[192] - z[at])
    assert theta[192] == pytest.approx(up, abs=0.1)


def test_silence_leaves_the_threshold_in_quiet():
    found = threshold_of(jnp.zeros(8192))
    quiet_db = threshold_in_quiet_db(np.arange(1, NUM_BINS) * RATE / 2048)
    seen = bark(np.arange(1, NUM_BINS) * RATE / 2048) > 1
    theta = np.asarray(found.power)[0, 1:][seen]
    np.testing.assert_allclose(10 * np.log10(theta), quiet_db[seen], atol=1e-3)
    assert np.isfinite(found.power).all()
    # 4 dB SPL at 1 kHz, less 12; the ear is keenest near 3.3 kHz.
    assert threshold_in_quiet_db(1000) == pytest.approx(-8.6, abs=0.1)
    assert 2500 < np.arange(1, NUM_BINS)[quiet_db.argmin()] * RATE / 2048 < 4500


def test_gradients_are_finite_and_those_of_differences():
    wave = jnp.asarray(noise(2048 + 512))
    weights = np.random.default_rng(1).random((2, NUM_BINS)).astype(np.float32)

    @jax.jit
    def value(x):
        return jnp.sum(weights * jnp.log(threshold_of(x).power))

    gradient = jax.grad(value)(wave)
    along = jnp.asarray(noise(2048 + 512, seed=2)) * 1e-3
    slope = (value(wave + along) - value(wave - along)) / 2
    assert float(jnp.vdot(gradient, along)) == pytest.approx(float(slope), rel=0.05)
    silent = jax.grad(lambda x: threshold_of(x).power.sum())(jnp.zeros(4096))
    assert np.isfinite(silent).all()


def test_a_perturbation_as_loud_as_its_clip_is_4_26_db_louder():
    wave = jnp.asarray(noise())
    peak = threshold_of(wave).peak
    loudest = 10 * jnp.log10(perturbation_power(wave, peak).max())
    assert float(loudest) == pytest.approx(PEAK_DB + 10 * np.log10(8 / 3), abs=1e-3)
