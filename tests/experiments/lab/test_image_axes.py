import numpy as np
import pytest

from advjax.representations import (
    Image,
    Log1pMelMagnitudes,
    Magnitude,
    MelEnergies,
    Scalogram,
    Waveform,
)
from advjax.signal.mel import mel_filterbank
from experiments.lab.image_axes import ImageAxes, image_axes


@pytest.mark.parametrize("stage", [Magnitude(), MelEnergies(), Scalogram()])
def test_every_frame_has_a_time_and_every_band_a_frequency(stage):
    frame_s, band_hz = image_axes(stage)
    frames, bands, _ = stage.feature_shape
    assert frames * frame_s == pytest.approx(25_800 / 16_000, rel=0.05)
    assert len(band_hz) == bands and (np.diff(band_hz) > 0).all()


def test_the_frequency_of_a_band_is_where_its_filter_is_widest():
    filters = mel_filterbank(num_bands=64, num_fft=512, sample_rate_hz=16_000)
    peaks = filters.argmax(axis=0) * 16_000 / 512
    _, band_hz = image_axes(Log1pMelMagnitudes())
    np.testing.assert_allclose(band_hz, peaks, atol=16_000 / 512)


def test_other_stages_have_numbers_alone():
    assert image_axes(Image()) == image_axes(Waveform()) == ImageAxes()
