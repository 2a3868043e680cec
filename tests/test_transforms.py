import math

import numpy as np
import pytest
import scipy.signal

from advjax import transforms
from advjax.catalog import pick
from advjax.transforms import MP3_KBPS, OPUS_RATES_HZ, SUITE, TRANSFORMS

RATE_HZ = 32_000
CODECS = (
    "mp3(kbps=32)",  # without the note of its delay
    "mp3(kbps=64)",
    "vorbis(quality=0)",
    "vorbis(quality=8)",
    "opus(kbps=64)",
)


def noise(num_samples, seed=0, rms=0.1):
    draw = np.random.default_rng(seed).standard_normal(num_samples)
    return np.clip(rms * draw, -1, 1).astype(np.float32)


def tone(frequency_hz, num_samples=RATE_HZ, amplitude=0.5, rate_hz=RATE_HZ):
    time_s = np.arange(num_samples) / rate_hz
    return (amplitude * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def transformed(text, wave, rate_hz=RATE_HZ, seed=0):
    return pick(text, TRANSFORMS)(wave, rate_hz, np.random.default_rng(seed))


def gain_db(wave, original):
    """The gain over the middle half, away from the ends of the clip."""
    middle = slice(len(wave) // 4, -len(wave) // 4)
    return 20 * math.log10(np.std(wave[middle]) / np.std(original[middle]))


def lag(wave, original):
    """Delay of `wave` in samples: the peak of the cross-correlation."""
    correlation = scipy.signal.correlate(wave, original, method="fft")
    return int(correlation.argmax()) - (len(original) - 1)


def snr_db(wave, original):
    original = original.astype(np.float64)
    return 10 * math.log10(np.sum(original**2) / np.sum((wave - original) ** 2))


def test_the_suite_has_every_transform():
    assert {text.partition("(")[0] for text in SUITE} == set(TRANSFORMS)
    assert len(set(SUITE)) == len(SUITE)


@pytest.mark.parametrize("text", SUITE)
def test_a_wave_stays_a_wave_but_not_the_same(text):
    wave = 0.5 * tone(440.0) + noise(RATE_HZ)
    before = wave.copy()
    changed = transformed(text, wave)
    assert changed.shape == wave.shape and changed.dtype == np.float32
    assert np.max(np.abs(changed)) <= 1
    assert 0.5 < np.std(changed) / np.std(wave) < 2
    np.testing.assert_array_equal(wave, before)
    # Some quality is lost, but the sound is the same and in place.
    assert abs(lag(changed, wave)) <= (2 if text == "opus(kbps=16)" else 0)
    assert not np.array_equal(changed, wave)
    assert np.corrcoef(changed, wave)[0, 1] > 0.6


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", SUITE)
@pytest.mark.parametrize("num_samples", [0, 1, 2, 30, 1000])
def test_very_short_clips(text, num_samples):
    wave = noise(num_samples)
    for clip in (wave, np.zeros_like(wave)):
        changed = transformed(text, clip)
        assert changed.shape == clip.shape and changed.dtype == np.float32
        assert np.isfinite(changed).all()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", SUITE)
def test_silence_stays_silent(text):
    # Opus at few kbit/s adds noise of its own, two steps of 16 bits.
    assert np.max(np.abs(transformed(text, np.zeros(9600, np.float32)))) < 1e-4


@pytest.mark.parametrize("text", SUITE)
def test_chance_comes_from_the_generator_alone(text):
    wave = noise(4000)
    first, again, other = (transformed(text, wave, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert np.array_equal(first, other) == (not text.startswith("white_noise"))


@pytest.mark.parametrize("text", [t for t in SUITE if not t.startswith("white_noise")])
def test_full_scale_stays_within_full_scale(text):
    square = np.sign(tone(300.5)).astype(np.float32)
    assert 0.8 < np.max(np.abs(transformed(text, square))) <= 1


@pytest.mark.parametrize("text", ["mp3()", "vorbis()", "opus()", "low_pass()"])
def test_far_beyond_full_scale_is_full_scale(text):
    wave = noise(5000)
    loud, full = 1e10 * wave, np.sign(wave)  # at 1e10, LAME itself would abort
    np.testing.assert_array_equal(transformed(text, loud), transformed(text, full))


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 32_000])
def test_mp3_takes_the_kilobits_that_were_asked_for(rate_hz):
    wave = noise(128_000)
    for kbps in MP3_KBPS[rate_hz]:
        size = len(transforms._mp3_bytes(wave, rate_hz, kbps))
        taken = 8 * size * rate_hz / len(wave) / 1000
        # There are at most four frames of note, delay and padding to 111 of the wave,
        # or to 222. The next rate is 11 % away or more.
        assert kbps <= taken < 1.04 * kbps


@pytest.mark.parametrize("kbps", [64, 128, 256])
@pytest.mark.parametrize("rate_hz", [16_000, 48_000])
def test_opus_aims_at_the_kilobits_that_were_asked_for(rate_hz, kbps):
    size = len(transforms._opus_bytes(noise(5 * rate_hz), rate_hz, kbps))
    assert 8 * size / 5 / 1000 == pytest.approx(kbps, rel=0.05)


def test_better_quality_is_closer_to_the_original():
    wave = noise(RATE_HZ) + tone(1000.0, amplitude=0.2)
    for texts in (
        [f"mp3(kbps={kbps})" for kbps in (48, 96, 192, 320)],
        [f"vorbis(quality={quality})" for quality in (0, 4, 8, 10)],
        [f"opus(kbps={kbps})" for kbps in (24, 64, 128, 256)],
    ):
        fidelity = [snr_db(transformed(text, wave), wave) for text in texts]
        assert fidelity == sorted(fidelity) and fidelity[-1] > 15


@pytest.mark.parametrize("text", CODECS)
@pytest.mark.parametrize("rate_hz", [16_000, 22_050, 32_000, 44_100])
def test_codecs_keep_the_place(text, rate_hz):
    for num_samples in (3 * rate_hz // 10, 2 * rate_hz + 123):
        wave = noise(num_samples)
        assert lag(transformed(text, wave, rate_hz), wave) == 0


@pytest.mark.parametrize("text", CODECS)
def test_codecs_keep_the_place_of_real_sounds(text, advjax_data):
    import soundfile

    paths = sorted((advjax_data / "ESC-50" / "audio").glob("*.wav"))[::40]
    assert paths
    for path in paths:
        wave, rate_hz = soundfile.read(path, frames=2 * 44_100, dtype="float32")
        assert lag(transformed(text, wave, rate_hz), wave) == 0


def test_opus_at_rates_that_it_has_not():
    for rate_hz in (11_025, 22_050, 44_100, 96_000):
        assert rate_hz not in OPUS_RATES_HZ
        wave = tone(1000.0, num_samples=rate_hz // 2, rate_hz=rate_hz)
        coded = transformed("opus(kbps=128)", wave, rate_hz)
        assert coded.shape == wave.shape and snr_db(coded, wave) > 15


def test_minutes_of_vorbis():
    # In one write, libvorbis would overflow the stack.
    wave = np.tile(noise(RATE_HZ), 100)
    assert lag(transformed("vorbis(quality=0)", wave)[:9600], wave[:9600]) == 0


@pytest.mark.parametrize("low_rate_hz", [8_000, 16_000, 22_050])
def test_resampling_cuts_at_the_lower_nyquist_frequency(low_rate_hz):
    text = f"resample(rate_hz={low_rate_hz})"
    # A sum of tones, each a bin of the transform of one second.
    wave = noise(RATE_HZ)
    window = np.hanning(RATE_HZ)
    before, after = (
        np.abs(np.fft.rfft(window * x)) for x in (wave, transformed(text, wave))
    )
    nyquist = low_rate_hz // 2
    kept, lost = slice(50, int(0.8 * nyquist)), slice(math.ceil(1.2 * nyquist), None)
    # SciPy's filter ripples by 0.02 dB.
    assert np.sum(after[kept] ** 2) == pytest.approx(
        np.sum(before[kept] ** 2), rel=0.01
    )
    np.testing.assert_allclose(after[kept], before[kept], atol=0.02 * before.max())
    assert np.sum(after[lost] ** 2) < 1e-4 * np.sum(before[lost] ** 2)


@pytest.mark.parametrize("asked_db", [-10, 0, 20, 30, 40])
def test_noise_has_exactly_the_asked_power(asked_db):
    wave = noise(3001, seed=7, rms=0.02)
    noisy = transformed(f"white_noise(snr_db={asked_db})", wave)
    # The wave and noise are rounded to 24 bits.
    assert snr_db(noisy, wave) == pytest.approx(asked_db, abs=1e-3)


def test_noise_is_white_and_gaussian():
    wave = tone(440.0)
    added = transformed("white_noise(snr_db=20)", wave) - wave
    kurtosis = np.mean(added**4) / np.mean(added**2) ** 2
    assert kurtosis == pytest.approx(3, abs=0.15)
    _, power = scipy.signal.welch(added, RATE_HZ, nperseg=256)
    assert np.ptp(10 * np.log10(power[1:-1])) < 4


def impulse_response(text, seconds=2):
    impulse = np.zeros(seconds * RATE_HZ, np.float32)
    impulse[0] = 1
    return transformed(text, impulse).astype(np.float64)


@pytest.mark.parametrize("rt60_s", [0.3, 0.6, 1.2])
def test_reverberation_decays_by_60_db_in_the_asked_time(rt60_s):
    response = impulse_response(f"reverberation(rt60_s={rt60_s})")
    tail = response[1:]
    # Schroeder's backward integration, and the slope from -5 to -35 dB (ISO 3382: T30).
    remaining = np.cumsum(tail[::-1] ** 2)[::-1]
    with np.errstate(divide="ignore"):
        decay_db = 10 * np.log10(remaining / remaining[0])
    inside = (decay_db < -5) & (decay_db > -35)
    time_s = np.arange(len(tail)) / RATE_HZ
    slope, _ = np.polyfit(time_s[inside], decay_db[inside], 1)
    assert -60 / slope == pytest.approx(rt60_s, rel=0.03)


@pytest.mark.parametrize("ratio_db", [-6, 0, 12])
def test_the_direct_path_is_first_and_as_strong_as_asked(ratio_db):
    text = f"reverberation(direct_to_reverberant_db={ratio_db})"
    response = impulse_response(text)
    direct, tail = response[0], response[1:]
    measured_db = 10 * math.log10(direct**2 / np.sum(tail**2))
    assert measured_db == pytest.approx(ratio_db, abs=1e-3)
    assert direct == np.max(np.abs(response))


def test_the_room_is_fixed_and_the_level_kept():
    wave = noise(RATE_HZ)
    wet = transformed("reverberation()", wave, seed=1)
    np.testing.assert_array_equal(wet, transformed("reverberation()", wave, seed=2))
    assert np.std(wet) == pytest.approx(np.std(wave), rel=1e-3)
    elsewhere = transformed("reverberation(seed=1)", wave)
    assert np.corrcoef(wet, elsewhere)[0, 1] < 0.8


@pytest.mark.parametrize("cutoff_hz", [4_000, 8_000])
@pytest.mark.parametrize("order", [2, 4, 7])
def test_low_pass_is_the_filter_twice_without_delay(cutoff_hz, order):
    # Reference: the other form of the filter.
    b, a = scipy.signal.butter(order, cutoff_hz, fs=RATE_HZ)
    tones_hz = np.array([500.0, 0.9 * cutoff_hz, cutoff_hz, 1.2 * cutoff_hz])
    _, response = scipy.signal.freqz(b, a, worN=tones_hz, fs=RATE_HZ)
    for frequency_hz, gain in zip(tones_hz, np.abs(response) ** 2, strict=True):
        wave = tone(frequency_hz)
        low = transformed(f"low_pass(cutoff_hz={cutoff_hz}, order={order})", wave)
        assert gain_db(low, wave) == pytest.approx(20 * math.log10(gain), abs=0.02)
        assert np.corrcoef(low[8000:-8000], wave[8000:-8000])[0, 1] > 0.9999


@pytest.mark.parametrize("bits", [2, 8, 10, 16])
def test_quantised_samples_are_near_and_few(bits):
    wave = np.linspace(-1, 1, 200_001, dtype=np.float32)
    rounded = transformed(f"quantise(bits={bits})", wave)
    step = 1 / (2 ** (bits - 1) - 1)
    error = np.abs(rounded.astype(np.float64) - wave)
    assert 0.45 * step < error.max() <= 0.5 * step + 1e-7
    assert len(np.unique(rounded)) == 2**bits - 1 and 0 in rounded


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("mp3(kbps=100)", r"no 100 kbit/s; choose one of \[8, 16"),
        ("vorbis(quality=11)", "quality must be a number from 0 to 10, got 11"),
        ("vorbis(quality=-1)", "quality must be"),
        ("opus(kbps=5)", "kbps must be a number from 6 to 256"),
        ("opus(kbps=257)", "kbps must be"),
        ("resample(rate_hz=0)", "rate_hz must be a whole number from 1"),
        ("white_noise(snr_db=1e9)", "snr_db must be a number from -100 to 100"),
        ("reverberation(rt60_s=0)", "rt60_s must be a number from 0.01"),
        ("reverberation(rt60_s=60)", "rt60_s must be"),
        (
            "reverberation(direct_to_reverberant_db=1e9)",
            "direct_to_reverberant_db must be a number from -100",
        ),
        ("reverberation(seed=-1)", "seed must be a whole number from 0"),
        ("low_pass(cutoff_hz=0)", "cutoff_hz must be a number from 1"),
        ("low_pass(order=0)", "order must be a whole number from 1 to 12"),
        ("quantise(bits=1)", "bits must be a whole number from 2 to 16, got 1"),
        ("quantise(bits=17)", "bits must be"),
    ],
)
def test_impossible_options_are_refused_when_built(text, complaint):
    with pytest.raises(ValueError, match=complaint):
        pick(text, TRANSFORMS)


def test_what_is_no_number_is_refused():
    with pytest.raises(ValueError, match="snr_db must be .* got nan"):
        transforms.white_noise(snr_db=math.nan)
    with pytest.raises(ValueError, match="must be a whole number"):
        transforms._check("bits", 8.5, 2, 16, whole=True)


@pytest.mark.parametrize(
    ("text", "rate_hz", "complaint"),
    [
        ("mp3(kbps=256)", 16_000, r"at 16000 Hz has no 256 kbit/s; .*160\)"),
        ("mp3(kbps=80)", 8_000, r"at 8000 Hz has no 80 kbit/s; .*64\)"),
        ("mp3()", 96_000, "no sampling rate of 96000 Hz; resample"),
        ("vorbis()", 384_000, "at most 200000 Hz; resample .* 384000 Hz"),
        ("resample(rate_hz=16000)", 16_000, "rate_hz=16000 .* 16000 Hz"),
        ("low_pass(cutoff_hz=8000)", 16_000, "cutoff_hz=8000 .* 8000 Hz"),
    ],
)
def test_rates_that_do_not_suit_are_refused(text, rate_hz, complaint):
    with pytest.raises(ValueError, match=complaint):
        transformed(text, noise(1000), rate_hz)


@pytest.mark.parametrize("text", TRANSFORMS)
def test_what_is_no_wave_is_refused(text):
    for wave in (np.zeros((2, 100), np.float32), np.zeros(100)):
        with pytest.raises(ValueError, match="one mono wave .* float32, got float"):
            transformed(text, wave)
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="NaN or infinite"):
            transformed(text, np.array([0, value], np.float32))
