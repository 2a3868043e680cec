import numpy as np
import pytest

from advjax.signal import mel


def test_filterbank_equals_python_speech_features():
    psf = pytest.importorskip("python_speech_features")
    ours = mel.mel_filterbank(num_bands=64, num_fft=512, sample_rate_hz=16_000)
    theirs = psf.get_filterbanks(nfilt=64, nfft=512, samplerate=16_000)
    np.testing.assert_allclose(ours.T, theirs, atol=1e-6)


def test_mel_scale_follows_htk():
    assert mel.hz_to_mel(700.0) == pytest.approx(2595 * np.log10(2))
    np.testing.assert_allclose(
        mel.mel_to_hz(mel.hz_to_mel([0, 50, 8000])), [0, 50, 8000]
    )


def test_a_sine_lands_in_the_band_around_its_frequency():
    filters = mel.mel_filterbank(num_bands=40, num_fft=512, sample_rate_hz=16_000)
    t = np.arange(512) / 16_000
    power = np.abs(np.fft.rfft(np.sin(2 * np.pi * 1000 * t) * np.hanning(512))) ** 2
    edges_hz = mel.mel_to_hz(np.linspace(0, mel.hz_to_mel(8000), 42))
    band = int((power @ filters).argmax())
    assert edges_hz[band] < 1000 < edges_hz[band + 2]


def test_too_many_bands_are_refused():
    with pytest.raises(ValueError, match="without a bin"):
        mel.mel_filterbank(num_bands=200, num_fft=512, sample_rate_hz=16_000)


@pytest.mark.parametrize(
    ("num_bands", "num_fft", "sample_rate_hz", "low_hz"),
    [(64, 1024, 32_000, 0.0), (40, 512, 16_000, 100.0)],
)
def test_filters_of_equal_area_equal_librosa(
    num_bands, num_fft, sample_rate_hz, low_hz
):
    librosa = pytest.importorskip("librosa")
    ours = mel.slaney_filterbank(
        num_bands=num_bands,
        num_fft=num_fft,
        sample_rate_hz=sample_rate_hz,
        low_hz=low_hz,
    )
    theirs = librosa.filters.mel(
        sr=sample_rate_hz, n_fft=num_fft, n_mels=num_bands, fmin=low_hz
    )
    # Both are float32.
    np.testing.assert_allclose(ours.T, theirs, atol=1e-6 * theirs.max())


def test_slaneys_scale_is_linear_below_1_khz_and_logarithmic_above():
    hz = np.array([0.0, 500.0, 1000.0, 6400.0])
    np.testing.assert_allclose(mel.slaney_hz_to_mel(hz), [0, 7.5, 15, 42], atol=1e-9)
    np.testing.assert_allclose(
        mel.slaney_mel_to_hz(mel.slaney_hz_to_mel(hz)), hz, atol=1e-9
    )


def test_too_many_filters_of_equal_area_are_refused():
    with pytest.raises(ValueError, match="without a bin"):
        mel.slaney_filterbank(num_bands=256, num_fft=512, sample_rate_hz=16_000)
