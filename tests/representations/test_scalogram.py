import jax.numpy as jnp
import numpy as np
import pytest

from advjax.representations import Scalogram, Waveform


def test_bins_are_equally_spaced_in_log_frequency():
    scalogram = Scalogram(num_bins=5, min_hz=100.0, max_hz=1600.0)
    np.testing.assert_allclose(scalogram.frequencies_hz, [100, 200, 400, 800, 1600])
    # 6 radians a scale: 100 Hz at 16 kHz are 160 samples a cycle.
    np.testing.assert_allclose(scalogram.scales[0], 6 / (2 * np.pi) * 160)


@pytest.mark.parametrize("frequency_hz", [80, 250, 1000, 5000])
def test_a_tone_is_greatest_in_the_bin_around_it(frequency_hz):
    scalogram = Scalogram(source=Waveform(num_samples=8000))
    tone = np.sin(2 * np.pi * frequency_hz / 16_000 * np.arange(8000))
    features = np.asarray(scalogram.apply(jnp.asarray(tone, jnp.float32)))
    # |W| grows with the root of the scale: the peak is a little below the tone.
    peak_hz = scalogram.frequencies_hz[features[9, :, 0].argmax()]
    assert 0.95 * frequency_hz < peak_hz < 1.03 * frequency_hz


def test_frames_lie_where_a_click_is():
    scalogram = Scalogram(source=Waveform(num_samples=16_000))
    click = jnp.zeros(16_000).at[8000].set(1.0)
    features = np.asarray(scalogram.apply(click))[..., 0]
    centres = 400 * np.arange(len(features)) + 399.5
    nearest = np.abs(centres - 8000).argmin()
    assert set(features.argmax(axis=0)) <= {nearest - 1, nearest, nearest + 1}
    assert features.shape == (39, 128)


def test_power_doubles_with_the_amplitude_twice():
    wave = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    scalogram = Scalogram(source=Waveform(num_samples=4000))
    once, twice = (scalogram.apply(jnp.asarray(k * wave)) for k in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_hz": 6500.0}, "0.4 of the sample rate"),
        ({"min_hz": 0.0}, "0 < min_hz"),
        ({"min_hz": 200.0, "max_hz": 100.0}, "0 < min_hz"),
    ],
)
def test_wavelets_that_the_rate_cannot_hold_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        Scalogram(**settings)


def test_wavelets_longer_than_a_frame_are_refused():
    with pytest.raises(ValueError, match="outgrows a frame of 400"):
        Scalogram(frame_length=400, hop=200).apply(jnp.zeros(25_800))
