import librosa
import numpy as np
import pytest

from advjax.signal import chroma


@pytest.mark.parametrize(
    ("num_fft", "rate_hz"), [(2048, 16_000), (2048, 44_100), (256, 8000), (25, 8000)]
)
def test_filterbank_equals_librosa(num_fft, rate_hz):
    ours = chroma.chroma_filterbank(num_fft=num_fft, sample_rate_hz=rate_hz)
    theirs = librosa.filters.chroma(sr=rate_hz, n_fft=num_fft, tuning=0)
    assert ours.dtype == np.float32
    np.testing.assert_allclose(ours.T, theirs, rtol=1e-5, atol=1e-7)


def test_a_tone_belongs_to_its_class():
    filters = chroma.chroma_filterbank(num_fft=8192, sample_rate_hz=16_000)
    for midi, name in [(60, 0), (69, 9), (71, 11), (84, 0)]:
        frequency_hz = 440 * 2 ** ((midi - 69) / 12)
        assert filters[round(frequency_hz * 8192 / 16_000)].argmax() == name


def test_tonnetz_equals_librosa():
    classes = np.random.default_rng(0).random((12, 40)).astype(np.float32)
    theirs = librosa.feature.tonnetz(chroma=classes)
    ours = (classes / classes.sum(axis=0)).T @ chroma.tonnetz_basis()
    np.testing.assert_allclose(ours, theirs.T, atol=1e-6)


def test_a_fifth_lies_close_on_the_first_circle():
    fifths = chroma.tonnetz_basis()[:, :2]
    distance = np.linalg.norm(fifths - fifths[0], axis=1)
    assert set(np.argsort(distance)[1:3]) == {5, 7}  # F and G are next to C
