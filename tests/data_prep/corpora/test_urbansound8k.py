import collections
import csv

import numpy as np
import pytest
import soundfile

from data_prep.corpora.base import SPLITS
from data_prep.corpora.urbansound8k import urbansound8k

HEADER = "slice_file_name,fsID,start,end,salience,fold,classID,class\n"


@pytest.fixture
def root(tmp_path):
    """A car horn and a dog in three folds, in as many kinds of file."""
    (tmp_path / "metadata").mkdir()
    rows, kinds = [], iter([(8000, "PCM_U8", 1), (44_100, "PCM_24", 2)] * 3)
    for fold in (1, 2, 10):
        folder = tmp_path / "audio" / f"fold{fold}"
        folder.mkdir(parents=True)
        for target, name in ((3, "dog_bark"), (1, "car_horn")):
            file = f"{fold}{target}-{target}-0-0.wav"
            rows.append(f"{file},{fold}{target},0.0,0.5,1,{fold},{target},{name}\n")
            rate_hz, subtype, channels = next(kinds)
            time_s = np.arange(rate_hz // 2) / rate_hz
            wave = 0.5 * np.sin(2 * np.pi * 440 * time_s)
            frames = np.stack([wave] * channels, axis=1)
            soundfile.write(folder / file, frames, rate_hz, subtype=subtype)
    (tmp_path / "metadata" / "UrbanSound8K.csv").write_text(HEADER + "".join(rows))
    return tmp_path


def test_every_kind_of_file_gives_the_same_sound(root):
    corpus = urbansound8k(root, fold=10)
    assert corpus.labels == ("car_horn", "dog_bark")
    assert [each.id for each in corpus.utterances("validation")] == [
        "13-3-0-0",
        "11-1-0-0",
    ]
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(8000) / 16_000)
    for split in SPLITS:
        for each in corpus.utterances(split):
            wave = each.load()
            assert wave.shape == (8000,)
            # 8 bits are steps of 1/128; the resampling filter rings at the ends.
            assert np.max(np.abs(wave - wanted)[200:-200]) < 0.01


def test_bad_folders_and_folds(root):
    with pytest.raises(ValueError, match="no fold 3 in .*; there are 1, 2, 10"):
        urbansound8k(root, fold=3)
    with pytest.raises(FileNotFoundError, match=r"UrbanSound8K.csv: .*fsID, fold"):
        urbansound8k(root / "audio")
    (root / "audio" / "fold2" / "21-1-0-0.wav").unlink()
    train = urbansound8k(root, fold=10, validation_fold=1).utterances("train")
    with pytest.raises(ValueError, match=r"fold2/21-1-0-0.wav: no such file, though"):
        train[1].load()


def test_real_sounds(advjax_data):
    root = advjax_data / "UrbanSound8K"
    corpus = urbansound8k(root, pitch_shift="resample")
    assert len(corpus.labels) == 10
    assert corpus.labels[0] == "air_conditioner" and corpus.labels[9] == "street_music"
    with (root / "metadata" / "UrbanSound8K.csv").open() as file:
        rows = list(csv.DictReader(file))
    folds = collections.Counter(
        int(row["fold"])
        for row in rows
        if row["slice_file_name"].removesuffix(".wav") not in corpus.left_out
    )
    assert {split: len(corpus.utterances(split)) for split in SPLITS} == {
        "train": 5 * (folds.total() - folds[1] - folds[2]),
        "validation": folds[2],
        "test": folds[1],
    }
    for split in SPLITS:
        for each in corpus.utterances(split):
            recording, target = each.id.split("-")[:2]
            assert each.label == int(target) and each.speaker == recording
    # Fold 5 has three classes, so the one after it validates.
    found = urbansound8k(root, fold=3).utterances("validation")
    assert {each.id for each in found} == {
        each.id for each in urbansound8k(root, fold=10).utterances("test")
    }

    clips = {each.id: each for each in corpus.utterances("test")}
    odd = root / "audio" / "fold1" / "103074-7-0-0.wav"
    with soundfile.SoundFile(str(odd)) as file:
        kind = file.samplerate, file.subtype, file.channels
        num_frames = file.frames
    assert kind == (48_000, "PCM_24", 2)
    wave = clips["103074-7-0-0"].load()
    assert len(wave) == -(-num_frames // 3) and 0.01 < np.abs(wave).max() <= 1


def test_a_real_clip_shorter_than_four_seconds(advjax_data):
    corpus = urbansound8k(advjax_data / "UrbanSound8K", fold=10, pitch_shift="resample")
    names = [each.id for each in corpus.utterances("train")]
    place = names.index("100032-3-0-0")
    lengths = [len(each.load()) for each in corpus.utterances("train")[place:][:5]]
    # The table says 0.317551 s, rounded to samples of 44.1 kHz.
    assert lengths[0] == pytest.approx(0.317551 * 16_000, abs=2)
    for length, factor in zip(lengths[1:], (0.75, 0.9, 1.15, 1.5), strict=True):
        assert length == pytest.approx(lengths[0] / factor, abs=2)


def test_real_recordings_that_validate_do_not_train(advjax_data):
    corpus = urbansound8k(advjax_data / "UrbanSound8K", validation_share=0.2)
    found = {
        split: {each.speaker for each in corpus.utterances(split)}
        for split in ("train", "validation", "test")
    }
    assert not found["validation"] & (found["train"] | found["test"])
    classes = {each.label for each in corpus.utterances("validation")}
    assert len(classes) == 10
    share = len(corpus.utterances("validation")) / 315
    assert 0.15 < share < 0.3
