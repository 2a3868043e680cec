import io

import numpy as np
import pytest
from matplotlib.image import imread

from advjax.reports.figures import LEVELS, colour_stops, spectrogram_pair

RATE = 16_000
TIME = np.arange(RATE) / RATE


def tone(hz, level=0.5):
    return np.float32(level * np.sin(2 * np.pi * hz * TIME))


def pixels(png):
    return imread(io.BytesIO(png))[..., :3]


def test_a_tone_lies_at_its_frequency_and_level():
    drawn = spectrogram_pair(tone(4000), tone(4000), RATE)
    # A sine of half of full scale is 6 dB below it.
    assert drawn.high_db == -6 and drawn.low_db == -86
    image = pixels(drawn.clean)
    rows = image.sum(axis=(1, 2))
    assert abs(rows.argmax() - len(rows) / 2) <= 2  # half of the Nyquist frequency
    np.testing.assert_array_equal(image, pixels(drawn.adversarial))
    assert dict(map(reversed, drawn.hz))["4000"] == pytest.approx(0.5, abs=0.01)
    assert [text for _, text in drawn.seconds] == ["0", "0.4", "0.8"]


def test_what_an_attack_adds_is_in_its_picture_and_in_the_difference():
    clean = tone(1000)
    drawn = spectrogram_pair(clean, clean + tone(6000, 0.005), RATE)
    # Frequency rises upwards, from 0 to 8 kHz; clips begin and end with clicks.
    inside = slice(20, -20)
    before, after, change = (pixels(png)[:, inside] for png in drawn[:3])
    high, low = len(before) // 4, len(before) * 3 // 4
    assert after[high].mean() > 3 * before[high].mean()
    assert (change[high, :, 0] - change[high, :, 2]).mean() > 0.2  # louder is red
    np.testing.assert_allclose(after[low], before[low], atol=0.05)
    assert np.ptp(change[low]) < 0.1


@pytest.mark.parametrize("samples", [1, 100, 8000 * 30])
def test_clips_of_any_length_and_silence_are_drawn(samples):
    silent = np.zeros(samples, np.float32)
    drawn = spectrogram_pair(silent, silent, 8000)
    height, width = pixels(drawn.difference).shape[:2]
    assert height == 129 and 1 <= width <= 420
    assert drawn.largest_db == 1 and drawn.seconds[0][1] == "0"


def test_the_same_clips_give_the_same_pictures():
    first, second = (spectrogram_pair(tone(500), tone(600), RATE) for _ in range(2))
    assert first == second


def test_colours_of_a_scale_begin_dark():
    stops = colour_stops(LEVELS, 3)
    assert stops[0] == "#000004" and len(stops) == 3
