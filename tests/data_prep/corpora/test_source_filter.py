import numpy as np
import pytest
from scipy.linalg import solve_toeplitz
from scipy.signal import correlate, freqz

from data_prep.corpora.source_filter import (
    NUM_FFT,
    frames,
    overlap_add,
    poles,
    rosenberg_flow,
    vocalise,
)
from data_prep.corpora.voices import VOWELS_HZ, Segment, articulate, speaker_traits

RATE_HZ = 16_000


def sustained(vowel, traits, *, seconds=0.6, seed=0, voicing=1.0, aspiration=0.0):
    """One vowel on a steady pitch, out of the room."""
    vowel = Segment(seconds, VOWELS_HZ[vowel], voicing, aspiration)
    tracks = articulate([vowel], np.random.default_rng(seed))
    tracks = tracks._replace(octaves=np.zeros_like(tracks.octaves))
    return vocalise(tracks, traits, np.random.default_rng(seed))


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


def formants_hz(wave, order=16):
    """Resonances narrower than 400 Hz, by SciPy's linear prediction."""
    wave = wave * np.hanning(len(wave))
    correlation = correlate(wave, wave, method="fft")[len(wave) - 1 :][: order + 1]
    predictor = solve_toeplitz(correlation[:-1], correlation[1:])
    roots = np.roots(np.append(1.0, -predictor))
    bandwidths = -np.log(np.abs(roots)) * RATE_HZ / np.pi
    return (
        np.angle(roots[(roots.imag > 0) & (bandwidths < 400.0)]) * RATE_HZ / 2 / np.pi
    )


@pytest.mark.parametrize("speaker", range(5))
def test_the_pitch_of_a_vowel_is_the_speakers(speaker):
    traits = speaker_traits(0, 1.0, speaker)
    assert 100.0 < traits.f0_hz < 265.0
    measured = pitch_hz(sustained("a", traits)[1600:-1600])
    assert measured == pytest.approx(traits.f0_hz, rel=0.03)


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
        NUM_FFT // 2 + 1,
        include_nyquist=True,
    )
    have = poles(frequencies, bandwidths, tilt=tilt)[0]
    np.testing.assert_allclose(have, want, atol=1e-5 * np.abs(want).max())


def test_overlap_add_undoes_framing():
    wave = np.random.default_rng(0).standard_normal(128 * 50)
    spectra = np.fft.rfft(frames(wave), NUM_FFT)
    back = overlap_add(spectra.astype(np.complex64))
    np.testing.assert_allclose(back, wave, atol=1e-5)


def test_the_flow_opens_for_the_open_quotient():
    flow = rosenberg_flow(0.56, 1000)
    assert flow.max() == pytest.approx(1.0, abs=1e-4)
    assert np.argmax(flow) == pytest.approx(400, abs=2)
    assert np.flatnonzero(flow > 1e-9)[-1] == pytest.approx(560, abs=2)
