"""Partial utterances beside librosa and the windows of Resemblyzer."""

import math

import jax.numpy as jnp
import librosa
import numpy as np
import pytest

from advjax.representations import MelPartials
from advjax.representations.presets import ge2e
from advjax.signal.mel import slaney_filterbank


def wave(num_samples, level=0.1):
    rng = np.random.default_rng(0)
    return np.float32(rng.normal(0, level, num_samples))


@pytest.mark.parametrize(
    ("num_samples", "starts"),
    [
        # By hand from `compute_partial_slices(rate=1.3, min_coverage=0.75)`.
        (48_000, [0, 77, 154]),
        (25_800, [0]),
        (8_000, [0]),
        # 77 + 160 * .75 = 197 frames are covered, and one sample less is not.
        (31_520, [0, 77]),
        (31_519, [0]),
    ],
)
def test_the_starts_are_those_of_the_package(num_samples, starts):
    assert MelPartials().starts(num_samples) == starts


@pytest.mark.slow  # librosa compiles for seconds
@pytest.mark.parametrize("num_samples", [48_000, 31_519, 8_000])
def test_energies_equal_librosas(num_samples):
    x, rep = wave(num_samples), MelPartials()
    starts = rep.starts(num_samples)
    behind = max(0, (starts[-1] + 160) * 160 - num_samples)
    mels = librosa.feature.melspectrogram(
        y=np.pad(x, (0, behind)), sr=16_000, n_fft=400, hop_length=160, n_mels=40
    ).T
    wanted = np.stack([mels[start : start + 160] for start in starts])
    found = rep.apply(jnp.asarray(x))
    np.testing.assert_allclose(found[..., 0], wanted, rtol=1e-4, atol=1e-6)


def test_a_frame_is_centred_on_its_hop_and_the_end_is_zeros():
    x, rep = wave(31_520), MelPartials()
    found = np.asarray(rep.apply(jnp.asarray(x)))
    padded = np.pad(x, (200, 30_000)).astype(np.float64)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    filters = slaney_filterbank(num_bands=40, num_fft=400, sample_rate_hz=16_000)
    for partial, frame in ((0, 0), (0, 100), (1, 0), (1, 110), (1, 159)):
        at = (77 * partial + frame) * 160
        power = np.abs(np.fft.rfft(padded[at : at + 400] * window)) ** 2
        np.testing.assert_allclose(
            found[partial, frame, :, 0], power @ filters, rtol=1e-3, atol=1e-6
        )


@pytest.mark.parametrize(("level", "raised"), [(1e-3, True), (0.1, False)])
def test_quiet_clips_are_raised_to_the_level_and_loud_ones_are_kept(level, raised):
    x, rep = wave(25_800, level), MelPartials()
    rms = np.sqrt(np.mean(np.square(x, dtype=np.float64)))
    loud = np.float32(x * 10 ** (-30 / 20) / rms) if raised else x
    wanted = MelPartials(level_dbfs=-200.0).apply(jnp.asarray(loud))
    np.testing.assert_allclose(rep.apply(jnp.asarray(x)), wanted, rtol=1e-4)


def test_the_preset_has_clips_of_so_many_seconds():
    assert ge2e(seconds=3.0).feature_shape == (3, 160, 40, 1)
    assert ge2e().num_samples == 48_000


@pytest.mark.parametrize("option", ["min_coverage", "partials_per_second"])
@pytest.mark.parametrize("value", [0.0, -1.0, 1e4, math.nan])
def test_numbers_out_of_range_are_refused(option, value):
    with pytest.raises(ValueError, match=option):
        MelPartials(**{option: value})
