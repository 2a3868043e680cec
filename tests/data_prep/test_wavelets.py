"""The check of wavelet records against PyWavelets."""

import io

import numpy as np
import pytest

from advjax import records
from advjax.representations import (
    Image,
    Magnitude,
    MelEnergies,
    Scalogram,
    Stacked,
    Waveform,
)
from advjax.signal.samples import from_int16
from data_prep import wavelets
from data_prep.build import features_of
from data_prep.verify import verify

WAVE = Waveform(num_samples=4800)
SCALOGRAM = Scalogram(source=WAVE, num_bins=16)
IMAGE = Image(source=SCALOGRAM, frames=8, bins=8)


def noise(seed):
    return np.random.default_rng(seed).integers(-9000, 9000, 4800).astype(np.int16)


def write(folder, representation):
    def examples(split):
        for index in range(2):
            audio = noise([len(split), index])
            yield records.Example(
                id=f"{split}-{index}@0",
                audio=audio,
                features=features_of(representation, from_int16(audio)[None])[0],
                label=index,
                speaker="",
            )

    records.write(
        folder,
        {split: examples(split) for split in ("train", "test")},
        name="noise",
        representation=representation,
        labels=("anna", "bert"),
        file_format="npz",
    )
    return folder


def test_the_scalogram_is_found_wherever_it_is():
    other = Image(source=Magnitude(source=WAVE), frames=8, bins=8)
    beside = Stacked(source=WAVE, first=IMAGE, second=other)
    assert wavelets.scalogram_in(SCALOGRAM) is SCALOGRAM
    assert wavelets.scalogram_in(IMAGE) is SCALOGRAM
    assert wavelets.scalogram_in(beside) is SCALOGRAM
    assert wavelets.scalogram_in(MelEnergies()) is None


def test_a_level_is_that_of_pywavelets():
    wave = from_int16(noise(0))
    features = features_of(SCALOGRAM, wave[None])[0]
    assert wavelets.difference(SCALOGRAM, wave, features) < 0.005
    assert wavelets.difference(SCALOGRAM, wave, 1.1 * features) > 0.05
    assert wavelets.difference(SCALOGRAM, 0 * wave, 0 * features) == 0


@pytest.mark.parametrize("representation", [SCALOGRAM, IMAGE], ids=["levels", "image"])
def test_records_of_wavelets_are_compared_with_pywavelets(
    tmp_path, monkeypatch, representation
):
    folder = write(tmp_path / "set", representation)
    found = verify(folder, stream=io.StringIO())
    assert found.problems == () and 0 < found.worst_wavelet < 0.005
    monkeypatch.setattr(wavelets, "TOLERANCE", found.worst_wavelet / 2)
    problems = verify(folder, stream=io.StringIO()).problems
    assert problems and all("from PyWavelets" in problem for problem in problems)
