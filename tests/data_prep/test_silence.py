import itertools
import math

import numpy as np
import pytest

from advjax.signal.samples import from_int16, to_int16
from data_prep.corpora.fsdkaggle2018 import fsdkaggle2018
from data_prep.silence import sounding_parts, threshold_dbfs, without_silence

RATE_HZ = 8000
LOUD = 16384  # of 32768


def steps(*levels_and_ms, rate_hz=RATE_HZ):
    """Stretches of +level, -level, +level, ...: their RMS is their level."""
    stretches = []
    for level, duration_ms in levels_and_ms:
        num_samples = duration_ms * rate_hz // 1000
        stretches.append(level * (1 - 2 * (np.arange(num_samples) % 2)))
    return from_int16(np.concatenate(stretches).astype(np.int16))


def parts_ms(wave, rate_hz=RATE_HZ, **options):
    parts = sounding_parts(wave, rate_hz, **options)
    return [tuple(1000 * place / rate_hz for place in part) for part in parts]


def slow_threshold_dbfs(audio, rate_hz):
    """The rule of the original, clip by clip, at its rate of 44.1 kHz."""
    window = np.full(1024, 1 / 1024)
    envelope = np.convolve(np.abs(audio.astype(float)), window, mode="valid")
    envelope_db = 20 * np.log10(np.maximum(envelope, 1e-5) / max(envelope.max(), 1e-5))
    runs = [(key, len(list(run))) for key, run in itertools.groupby(envelope_db > -30)]
    if runs[-1][0]:
        runs.pop()  # it has no end
    longest = max((length for above, length in runs if above), default=0)
    return -56 if longest / rate_hz < 0.5 else -48


def slow_parts(audio, rate_hz, threshold):
    """What pydub documents, one window of 500 ms after the other."""

    def place(time_ms):
        return int(time_ms * (rate_hz / 1000))

    if len(audio) / rate_hz <= 0.8:
        return [(0, len(audio))]
    duration_ms = round(1000 * len(audio) / rate_hz)
    is_silent = [False] * duration_ms
    for start_ms in range(duration_ms - 500 + 1):
        start, stop = place(start_ms), place(start_ms + 500)
        window = audio[start:stop].astype(np.int64)
        rms = math.isqrt(int(window @ window) // (stop - start))
        if rms <= 10 ** (threshold / 20) * 32768:
            is_silent[start_ms : start_ms + 500] = [True] * 500
    parts, start_ms = [], 0
    for silent, run in itertools.groupby(is_silent):
        stop_ms = start_ms + len(list(run))
        if not silent:
            start = place(max(0, start_ms - 400))
            is_last = stop_ms + 400 >= duration_ms
            parts.append((start, len(audio) if is_last else place(stop_ms + 400)))
        start_ms = stop_ms
    return parts or [(0, len(audio))]


def slow_join(wave, parts):
    kept = np.zeros(len(wave), bool)
    for start, stop in parts:
        kept[start:stop] = True
    return wave[kept]


@pytest.mark.parametrize("rate_hz", [8000, 11_000, 16_000, 32_000])
def test_a_sound_keeps_400_ms_of_silence_on_either_side(rate_hz):
    wave = steps((0, 1000), (LOUD, 600), (0, 2400), rate_hz=rate_hz)
    assert parts_ms(wave, rate_hz) == [(600, 2000)]
    result = without_silence(wave, rate_hz)
    assert result.dtype == np.float32
    start, stop = 600 * rate_hz // 1000, 2000 * rate_hz // 1000
    np.testing.assert_array_equal(result, wave[start:stop])


@pytest.mark.parametrize(
    ("before_ms", "after_ms", "expected"),
    [
        (499, 499, (0, 1598)),  # too short to be silences
        (500, 500, (100, 1500)),
        (400, 3000, (0, 1400)),
        (3000, 400, (2600, 4000)),
        (0, 450, (0, 1050)),
        (0, 500, (0, 1000)),
    ],
)
def test_silence_at_the_ends(before_ms, after_ms, expected):
    wave = steps((0, before_ms), (LOUD, 600), (0, after_ms))
    assert parts_ms(wave) == [expected]


@pytest.mark.parametrize(
    ("silence_ms", "expected", "left_ms"),
    [
        (499, [(0, 1699)], 1699),
        (500, [(0, 1000), (700, 1700)], 1700),  # these overlap
        (800, [(0, 1000), (1000, 2000)], 2000),
        (801, [(0, 1000), (1001, 2001)], 2000),
        (2000, [(0, 1000), (2200, 3200)], 2000),
    ],
)
def test_silence_in_the_middle(silence_ms, expected, left_ms):
    wave = steps((LOUD, 600), (0, silence_ms), (LOUD, 600))
    assert parts_ms(wave) == expected
    result = without_silence(wave, RATE_HZ)
    assert len(result) == left_ms * RATE_HZ // 1000
    # No sample is there twice.
    np.testing.assert_array_equal(
        result, slow_join(wave, sounding_parts(wave, RATE_HZ))
    )


@pytest.mark.parametrize("level", [0, 1, 51, 200, LOUD, 32767])
def test_a_clip_of_one_level_stays_whole(level):
    wave = steps((level, 3000))
    np.testing.assert_array_equal(without_silence(wave, RATE_HZ), wave)


@pytest.mark.parametrize(
    ("loud_ms", "level", "left_ms"),
    [
        # -48 dBFS is 130.5, -56 dBFS is 51.9, and an RMS is rounded down.
        (1000, 130, 1400),
        (1000, 131, 3000),
        (200, 51, 600),
        (200, 52, 2200),
        (200, 130, 2200),
    ],
)
def test_the_threshold_of_a_clip_of_transients_is_lower(loud_ms, level, left_ms):
    wave = steps((LOUD, loud_ms), (level, 2000))
    assert parts_ms(wave) == [(0, left_ms)]


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
@pytest.mark.parametrize(
    ("levels_and_ms", "expected"),
    [
        # The envelope, over 23 ms, adds 22 ms to what lies above a 32nd of the maximum.
        ([(0, 500), (LOUD, 470), (0, 500)], -56),
        ([(0, 500), (LOUD, 490), (0, 500)], -48),
        ([(LOUD, 490), (0, 500), (LOUD, 100), (0, 500)], -56),
        ([(LOUD, 510), (0, 500), (LOUD, 100), (0, 500)], -48),
        ([(LOUD, 300), (600, 300), (0, 500)], -48),
        ([(LOUD, 300), (450, 300), (0, 500)], -56),
        # What does not end is not counted.
        ([(LOUD, 2000)], -56),
        ([(0, 500), (LOUD, 2000)], -56),
        ([(0, 2000)], -56),
    ],
)
def test_transients_end_within_half_a_second(levels_and_ms, expected, rate_hz):
    wave = steps(*levels_and_ms, rate_hz=rate_hz)
    assert threshold_dbfs(wave, rate_hz) == expected


def test_a_wave_of_up_to_800_ms_stays_whole():
    wave = steps((LOUD, 10), (0, 790))
    assert parts_ms(wave) == [(0, 800)]
    np.testing.assert_array_equal(without_silence(wave, RATE_HZ), wave)
    assert parts_ms(steps((LOUD, 10), (0, 791))) == [(0, 410)]
    assert sounding_parts(np.zeros(0, np.float32), RATE_HZ) == [(0, 0)]


@pytest.mark.parametrize(
    ("long_ms", "short_ms", "is_dropped"),
    [
        (3000, 50, True),
        (3000, 100, True),  # 900 ms with its silence
        (3000, 101, False),
        (1550, 50, False),  # parts of 1950 and 850 ms: 1.4 s in the mean
        (1551, 50, True),
    ],
)
def test_short_parts_stay_unless_they_shall_be_dropped(long_ms, short_ms, is_dropped):
    wave = steps((LOUD, long_ms), (0, 2000), (LOUD, short_ms), (0, 2000))
    long, short = (0, long_ms + 400), (long_ms + 1600, long_ms + 2400 + short_ms)
    assert parts_ms(wave) == [long, short]
    assert parts_ms(wave, drop_short=True) == ([long] if is_dropped else [long, short])
    left_ms = long_ms + 400 + (0 if is_dropped else short_ms + 800)
    result = without_silence(wave, RATE_HZ, drop_short=True)
    assert len(result) == left_ms * RATE_HZ // 1000


@pytest.mark.parametrize("extra", [3, 4, 5])
def test_fractions_of_a_millisecond_at_the_end_and_of_a_step_stay(extra):
    noise = np.random.default_rng(extra).uniform(-0.5, 0.5, 8 * 1000 + extra)
    wave = noise.astype(np.float32)
    np.testing.assert_array_equal(without_silence(wave, RATE_HZ), wave)
    padded = np.append(np.zeros(8 * 1000, np.float32), wave)
    np.testing.assert_array_equal(without_silence(padded, RATE_HZ), padded[8 * 600 :])


@pytest.mark.parametrize("rate_hz", [44_100, 22_050])
@pytest.mark.parametrize("seed", range(12))
def test_bursts_agree_with_the_judge(seed, rate_hz):
    generator = np.random.default_rng(seed)
    levels = generator.choice([0, 0, 30, 48, 56, 100, 125, 137, 400, 9000], 12)
    durations = generator.exponential(0.04 * 12, 12) * rate_hz
    envelope = np.repeat(levels, durations.astype(int))
    noise = envelope * generator.standard_normal(len(envelope))
    audio = np.clip(np.rint(noise), -32767, 32767).astype(np.int16)
    wave = from_int16(audio)
    threshold = threshold_dbfs(wave, rate_hz)
    if rate_hz == 44_100:
        assert threshold == slow_threshold_dbfs(audio, rate_hz)
    expected = slow_parts(audio, rate_hz, threshold)
    assert sounding_parts(wave, rate_hz) == expected
    np.testing.assert_array_equal(
        without_silence(wave, rate_hz), slow_join(wave, expected)
    )


def test_real_sounds_agree_with_the_judge(advjax_data):
    rate_hz = 44_100
    corpus = fsdkaggle2018(advjax_data / "FSDKaggle2018", sample_rate_hz=rate_hz)
    thresholds, was_cut = set(), set()
    for utterance in corpus.utterances("test"):
        wave = utterance.load()
        audio = to_int16(wave)
        threshold = slow_threshold_dbfs(audio, rate_hz)
        assert threshold_dbfs(wave, rate_hz) == threshold
        expected = slow_parts(audio, rate_hz, threshold)
        assert sounding_parts(wave, rate_hz) == expected
        result = without_silence(wave, rate_hz)
        np.testing.assert_array_equal(result, slow_join(wave, expected))
        thresholds.add(threshold)
        was_cut.add(len(result) < len(wave))
    # They are of every kind.
    assert thresholds == {-48, -56} and was_cut == {True, False}


def test_bad_input():
    with pytest.raises(ValueError, match="give the rate of the wave in Hz"):
        without_silence(steps((LOUD, 1000)), 0)
    with pytest.raises(ValueError, match="NaN or infinite"):
        without_silence(np.full(9000, np.nan, np.float32), RATE_HZ)
