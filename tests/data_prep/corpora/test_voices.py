import numpy as np
import pytest
from scipy.signal import correlate

from data_prep.corpora.base import SPLITS, Corpus
from data_prep.corpora.voices import (
    MEAN_UTTERANCE_S,
    babble,
    record,
    speak,
    speaker_traits,
    vary_traits,
    voices,
)

RATE_HZ = 16_000


def duration_s(corpus, label):
    return sum(
        len(each.load()) / RATE_HZ
        for split in SPLITS
        for each in corpus.utterances(split)
        if each.label == label
    )


def test_a_session_keeps_pitch_and_timing():
    pulses = np.zeros(32_000, np.float32)
    pulses[8_000:24_000:100] = 1.0  # 160 Hz
    wave = record(pulses, np.random.default_rng(0))
    correlation = correlate(wave, wave, method="fft")[len(wave) - 1 :]
    assert 80 + np.argmax(correlation[80:180]) == 100
    level = [np.std(wave[start : start + 4000]) for start in (2_000, 14_000)]
    assert level[1] > 3.0 * level[0]


def test_splits_are_disjoint_and_near_72_8_20():
    corpus = voices(num_speakers=12, minutes_per_speaker=9.2)
    assert isinstance(corpus, Corpus)
    assert len(corpus.labels) == len(set(corpus.labels)) == 12
    ids = {split: [each.id for each in corpus.utterances(split)] for split in SPLITS}
    assert [len(ids[split]) for split in SPLITS] == [12 * 72, 12 * 8, 12 * 20]
    assert len(set().union(*ids.values())) == 12 * 100
    for split in SPLITS:
        utterances = corpus.utterances(split)
        assert {each.label for each in utterances} == set(range(12))
        assert all(each.speaker == corpus.labels[each.label] for each in utterances)


def test_ids_name_speaker_and_utterance():
    utterance = voices().utterances("test")[-1]
    assert (utterance.id, utterance.label) == ("voices-09-0032", 9)


def test_minutes_per_speaker():
    corpus = voices(num_speakers=2, minutes_per_speaker=1.0)
    for label in range(2):
        assert duration_s(corpus, label) == pytest.approx(60.0, abs=8.0)


def test_the_mean_duration_of_a_default_speaker_is_the_stated_one():
    places = [len(speak(0, 0.8, 4, number)) / RATE_HZ for number in range(33)]
    assert np.mean(places) == pytest.approx(MEAN_UTTERANCE_S, rel=0.05)
    assert 2.8 < min(places) < 3.5
    assert 7.5 < max(places) < 8.6


def test_a_subset_regenerates_bit_identically():
    few = voices(num_speakers=2, minutes_per_speaker=0.5)
    many = voices(num_speakers=20, minutes_per_speaker=2.0)
    known = {each.id: each for split in SPLITS for each in many.utterances(split)}
    for split in SPLITS:
        for each in few.utterances(split)[::2]:
            np.testing.assert_array_equal(each.load(), known[each.id].load())


def test_utterances_differ_in_seed_speaker_and_number():
    waves = [
        speak(*which) for which in ((0, 1.0, 0, 0), (1, 1.0, 0, 0), (0, 1.0, 1, 0))
    ]
    waves += [speak(0, 1.0, 0, 1), speak(0, 1.0, 0, 2)]
    for first in range(len(waves)):
        for second in range(first):
            a, b = waves[first][8000:32000], waves[second][8000:32000]
            assert abs(np.corrcoef(a, b)[0, 1]) < 0.5


def test_waves_are_finite_float32_and_within_full_scale():
    for speaker in range(10):
        wave = speak(3, 1.0, speaker, speaker)
        assert wave.dtype == np.float32
        assert np.isfinite(wave).all()
        assert 0.03 < np.abs(wave).max() <= 1.0


def test_a_speaker_of_any_spread_stays_finite():
    wave = speak(0, 5.0, 1, 0)
    assert np.isfinite(wave).all()


def test_no_spread_makes_all_speakers_alike():
    first, second = speaker_traits(0, 0.0, 0), speaker_traits(0, 0.0, 1)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("seed", range(5))
def test_speakers_overlap_within_what_a_day_changes(seed):
    """Somebody's neighbour is nearer than his own utterances are to each other."""
    octaves = np.log2([speaker_traits(seed, 0.8, each).f0_hz for each in range(10)])
    gaps = np.diff(np.sort(octaves))
    mean = speaker_traits(seed, 0.8, 0)
    daily = np.std(
        [
            np.log2(vary_traits(mean, np.random.default_rng(each)).f0_hz)
            for each in range(200)
        ]
    )
    assert np.median(gaps) < 2.0 * daily
    assert octaves.max() - octaves.min() > 3.0 * daily


def test_babble_lasts_as_long_as_asked():
    segments = babble(5.0, 1.0, np.random.default_rng(0))
    assert sum(each.seconds for each in segments) == pytest.approx(5.0, abs=0.9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_speakers": 1}, "2 or more"),
        ({"num_speakers": 0}, "2 or more"),
        ({"minutes_per_speaker": 0.1}, "0.3 or more"),
        ({"minutes_per_speaker": float("nan")}, "minutes_per_speaker"),
        ({"minutes_per_speaker": float("inf")}, "minutes_per_speaker"),
        ({"seed": -1}, "negative"),
        ({"speaker_spread": -0.1}, "negative"),
        ({"speaker_spread": float("nan")}, "finite"),
    ],
)
def test_impossible_requests_say_what_to_ask_for(options, message):
    with pytest.raises(ValueError, match=message):
        voices(**options)


def test_an_unknown_split_is_refused():
    with pytest.raises(ValueError, match="validation"):
        voices().utterances("dev")
