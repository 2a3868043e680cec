import importlib

import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import correlate, freqz, lfilter

from data_prep.corpora.base import SPLITS, Corpus
from data_prep.corpora.voices import (
    MEAN_UTTERANCE_S,
    VOWELS_HZ,
    Segment,
    articulate,
    babble,
    on_the_day,
    record,
    speak,
    speaker_traits,
    voices,
)

synthesis = importlib.import_module("data_prep.corpora.source_filter")
RATE_HZ = 16_000


def duration_s(corpus, label):
    return sum(
        len(each.load()) / RATE_HZ
        for split in SPLITS
        for each in corpus.utterances(split)
        if each.label == label
    )


def sustained(vowel, traits, *, seconds=0.6, seed=0, voicing=1.0, aspiration=0.0):
    """One vowel on a steady pitch, out of the room."""
    vowel = Segment(seconds, VOWELS_HZ[vowel], voicing, aspiration)
    tracks = articulate([vowel], np.random.default_rng(seed))
    tracks = tracks._replace(octaves=np.zeros_like(tracks.octaves))
    return synthesis.vocalise(tracks, traits, np.random.default_rng(seed))


def plain_speaker(**traits):
    """A standard tract without deviations, jitter or breath."""
    mean = speaker_traits(0, 0.0, 0)._replace(
        tract_scale=1.0, breathiness=0.0, jitter=0.0, formant_offsets=np.zeros(8)
    )
    return mean._replace(**traits)


def pitch_hz(wave):
    """The strongest autocorrelation peak between 70 and 400 Hz, by SciPy."""
    wave = wave - wave.mean()
    correlation = correlate(wave, wave, method="fft")[len(wave) - 1 :]
    shortest, longest = RATE_HZ // 400, RATE_HZ // 70
    return RATE_HZ / (shortest + np.argmax(correlation[shortest:longest]))


def formants_hz(wave, order=18):
    """Resonances narrower than 400 Hz, by SciPy's linear prediction."""
    wave = lfilter([1.0, -0.95], 1.0, wave) * np.hanning(len(wave))
    correlation = correlate(wave, wave, method="fft")[len(wave) - 1 :][: order + 1]
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    roots = np.roots(np.append(1.0, -predictor))
    bandwidths = -np.log(np.abs(roots)) * RATE_HZ / np.pi
    return (
        np.angle(roots[(roots.imag > 0) & (bandwidths < 400.0)]) * RATE_HZ / 2 / np.pi
    )


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


@pytest.mark.parametrize("speaker", range(5))
def test_the_pitch_of_a_vowel_is_the_speakers(speaker):
    traits = speaker_traits(0, 1.0, speaker)
    assert 100.0 < traits.f0_hz < 265.0
    measured = pitch_hz(sustained("a", traits)[1600:-1600])
    assert measured == pytest.approx(traits.f0_hz, rel=0.03)


def test_the_pitch_survives_the_session():
    rng = np.random.default_rng(0)
    traits = speaker_traits(0, 1.0, 2)
    wave = record(sustained("E", traits).astype(np.float32), rng)
    assert pitch_hz(wave[1600:-1600]) == pytest.approx(traits.f0_hz, rel=0.03)


@pytest.mark.parametrize("vowel", VOWELS_HZ)
@pytest.mark.parametrize("tract_scale", [0.95, 1.1])
def test_linear_prediction_finds_the_formants_of_a_vowel(vowel, tract_scale):
    # Whispered: linear prediction assumes a white source, and pulses pull F1 down.
    traits = plain_speaker(tract_scale=tract_scale, tilt=0.0)
    whisper = sustained(vowel, traits, seconds=4.0, voicing=0.0, aspiration=1.0)
    have = formants_hz(whisper[1600:-1600])
    for formant in VOWELS_HZ[vowel]:
        nearest = have[np.argmin(np.abs(have - tract_scale * formant))]
        assert nearest == pytest.approx(tract_scale * formant, rel=0.03, abs=25.0)


def test_poles_agree_with_scipy():
    frequencies, bandwidths, tilt = (
        np.array([[500.0, 1500.0]]),
        np.array([[60.0, 90]]),
        0.4,
    )
    polynomial = np.array([1.0, -tilt])
    for frequency, bandwidth in zip(frequencies[0], bandwidths[0], strict=True):
        pole = np.exp((-np.pi * bandwidth + 2j * np.pi * frequency) / RATE_HZ)
        polynomial = np.polymul(polynomial, np.poly([pole, np.conj(pole)]).real)
    _, want = freqz(
        polynomial / polynomial.sum(),
        1.0,
        synthesis.NUM_FFT // 2 + 1,
        include_nyquist=True,
    )
    have = synthesis.poles(frequencies, bandwidths, tilt=tilt)[0]
    np.testing.assert_allclose(have, want, atol=1e-5 * np.abs(want).max())


def test_overlap_add_undoes_framing():
    wave = np.random.default_rng(0).standard_normal(128 * 50)
    spectra = np.fft.rfft(synthesis.frames(wave), synthesis.NUM_FFT)
    back = synthesis.overlap_add(spectra.astype(np.complex64))
    np.testing.assert_allclose(back, wave, atol=1e-5)


def test_the_flow_opens_for_the_open_quotient():
    flow = synthesis.rosenberg_flow(0.56, 1000)
    assert flow.max() == pytest.approx(1.0, abs=1e-4)
    assert np.argmax(flow) == pytest.approx(400, abs=2)
    assert np.flatnonzero(flow > 1e-9)[-1] == pytest.approx(560, abs=2)


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
            np.log2(on_the_day(mean, np.random.default_rng(each)).f0_hz)
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
