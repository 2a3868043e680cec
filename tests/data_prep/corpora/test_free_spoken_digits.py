import collections

import numpy as np
import pytest
import soundfile

from data_prep.corpora.base import SPLITS
from data_prep.corpora.free_spoken_digits import free_spoken_digits
from data_prep.crops import crops


def listing(root, indices, speakers=("theo", "george"), digits="05"):
    folder = root / "recordings"
    folder.mkdir()
    for speaker in speakers:
        for digit in digits:
            for index in indices:
                (folder / f"{digit}_{speaker}_{index}.wav").touch()


def test_official_split_for_either_task(tmp_path):
    listing(tmp_path, range(50))
    for task, labels in (("speaker", ("george", "theo")), ("digit", ("0", "5"))):
        corpus = free_spoken_digits(tmp_path, task=task)
        assert corpus.labels == labels
        sizes = [len(corpus.utterances(split)) for split in SPLITS]
        assert sizes == [4 * 41, 4 * 4, 4 * 5]
        for split, expected in zip(
            SPLITS, (range(5, 46), range(46, 50), range(5)), strict=True
        ):
            for utterance in corpus.utterances(split):
                digit, speaker, index = utterance.id.split("_")
                assert int(index) in expected
                assert utterance.speaker == speaker
                assert labels[utterance.label] in (digit, speaker)


def test_bad_input(tmp_path):
    with pytest.raises(FileNotFoundError, match="DIGIT_SPEAKER_INDEX"):
        free_spoken_digits(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="holds no takes"):
        free_spoken_digits(tmp_path)
    with pytest.raises(ValueError, match="speaker or digit"):
        free_spoken_digits(tmp_path, task="accent")
    listing(tmp_path, range(5, 9))
    with pytest.raises(ValueError, match="speaker george, theo has no test takes"):
        free_spoken_digits(tmp_path)


def test_takes_are_resampled_and_padded(tmp_path):
    listing(tmp_path, range(7), digits="0")
    folder = tmp_path / "recordings"
    samples = np.random.default_rng(0).uniform(-0.4, 0.4, 4000)
    for path in folder.iterdir():
        soundfile.write(path, samples, 8_000)
    corpus = free_spoken_digits(folder)  # the inner folder will do too
    assert corpus.utterances("train")[0].load().shape == (8_000,)
    found = list(crops(corpus, "test", policy="random", per_class=100))
    assert len(found) == 10 and all(crop.audio.shape == (25_800,) for crop in found)
    assert all(crop.audio[:8_000].any() for crop in found)
    assert not any(crop.audio[8_000:].any() for crop in found)


def test_real_digits(advjax_data):
    root = advjax_data / "free-spoken-digit-dataset"
    corpus = free_spoken_digits(root)
    assert corpus.labels == (
        "george",
        "jackson",
        "lucas",
        "nicolas",
        "theo",
        "yweweler",
    )
    takes = collections.Counter(
        path.stem.rpartition("_")[::2] for path in (root / "recordings").glob("*.wav")
    )
    series = collections.Counter(name for name, take in takes if int(take) >= 5)
    num_validation = sum(max(1, number // 10) for number in series.values())
    assert {split: len(corpus.utterances(split)) for split in SPLITS} == {
        "train": series.total() - num_validation,
        "validation": num_validation,
        "test": takes.total() - series.total(),
    }
    assert len(free_spoken_digits(root, task="digit").labels) == 10
    for utterance in corpus.utterances("test")[::20]:
        wave = utterance.load()
        assert 0.1 * 16_000 < len(wave) < 2.5 * 16_000 and np.abs(wave).max() > 0.01
