import functools

import numpy as np
import pytest

from data_prep.pitch_shift import FACTORS, SHIFTS, read_shifted

RATE_HZ = 8000
NUM_SAMPLES = 8000


def tone(frequency_hz, rate_hz, amplitude=0.5):
    """One second of a sine."""
    time_s = np.arange(rate_hz * NUM_SAMPLES // RATE_HZ) / rate_hz
    wave = amplitude * np.sin(2 * np.pi * frequency_hz * time_s)
    return wave.astype(np.float32)


def frequency_of(wave, rate_hz=RATE_HZ):
    """Of the largest peak, to a small part of a bin (1 Hz at one second).

    The parabola through the logarithms around the peak of a Gaussian window's spectrum
    has its top at the frequency.
    """
    position = np.arange(len(wave)) / len(wave) - 0.5
    power = np.abs(np.fft.rfft(wave * np.exp(-0.5 * (position / 0.1) ** 2)))
    peak = int(power.argmax())
    left, top, right = np.log(power[peak - 1 : peak + 2])
    offset = 0.5 * (left - right) / (left - 2 * top + right)
    return (peak + offset) * rate_hz / len(wave)


def test_the_judge_knows_a_frequency():
    assert frequency_of(tone(1234.3, RATE_HZ)) == pytest.approx(1234.3, abs=0.02)


@pytest.mark.parametrize("factor", FACTORS)
def test_resampling_moves_the_pitch_and_the_length(factor):
    read = functools.partial(tone, 1000.0)
    wave = read_shifted(read, factor, way="resample", sample_rate_hz=RATE_HZ)
    assert wave.dtype == np.float32
    assert len(wave) == pytest.approx(NUM_SAMPLES / factor, abs=1)
    assert frequency_of(wave) == pytest.approx(1000 * factor, rel=1e-6)
    # As loud as before, but for what the filter does at the ends.
    inner = wave[len(wave) // 10 : -len(wave) // 10]
    assert np.std(inner) == pytest.approx(0.5 / np.sqrt(2), rel=0.01)


@pytest.mark.parametrize("factor", FACTORS)
def test_the_phase_vocoder_moves_the_pitch_and_keeps_the_length(factor):
    read = functools.partial(tone, 1000.0)
    wave = read_shifted(read, factor, way="phase_vocoder", sample_rate_hz=RATE_HZ)
    assert wave.dtype == np.float32 and len(wave) == NUM_SAMPLES
    assert frequency_of(wave) == pytest.approx(1000 * factor, rel=1e-5)
    # The vocoder's overlapping frames lose up to a tenth of a tone's level.
    inner = wave[len(wave) // 10 : -len(wave) // 10]
    assert np.std(inner) == pytest.approx(0.5 / np.sqrt(2), rel=0.15)


@pytest.mark.parametrize("way", SHIFTS)
def test_a_lower_clip_has_no_empty_band_and_a_higher_one_no_mirror_image(way):
    lower = read_shifted(
        functools.partial(tone, 5000.0), 0.75, way=way, sample_rate_hz=RATE_HZ
    )
    assert frequency_of(lower) == pytest.approx(3750, rel=1e-5)
    higher = read_shifted(
        functools.partial(tone, 3700.0), 1.5, way=way, sample_rate_hz=RATE_HZ
    )
    # 5,550 Hz do not fit, and do not fold to 2,450: -60 dB is little more than SciPy's
    # filter (Kaiser window, beta 5) has in its stop band.
    assert np.std(higher[800:-1600]) < 0.35 / 1000


@pytest.mark.parametrize("way", SHIFTS)
def test_full_scale_stays_within_full_scale(way):
    def square(rate_hz):
        return np.sign(tone(300.0, rate_hz)).astype(np.float32)

    wave = read_shifted(square, 1.15, way=way, sample_rate_hz=RATE_HZ)
    assert 0.9 < np.max(np.abs(wave)) <= 1.0


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("way", SHIFTS)
@pytest.mark.parametrize("num_samples", [1, 2, 300])
def test_very_short_and_silent_clips(way, num_samples):
    def silence(rate_hz):
        return np.zeros(num_samples * rate_hz // RATE_HZ, np.float32)

    for factor in FACTORS:
        wave = read_shifted(silence, factor, way=way, sample_rate_hz=RATE_HZ)
        length = num_samples / factor if way == "resample" else num_samples
        assert length <= len(wave) < length + 1.5 and not wave.any()


def test_an_unknown_way():
    with pytest.raises(ValueError, match="resample or phase_vocoder"):
        read_shifted(
            functools.partial(tone, 9.0), 0.9, way="faster", sample_rate_hz=8000
        )
