import numpy as np
import pytest

from data_prep.corpora.base import SPLITS
from data_prep.corpora.fsdkaggle2018 import LABELS, fsdkaggle2018

CLASSES = ("Telephone", "Cello", "Bark")


def rows(prefix, *, more=""):
    """Five clips of each class, the first of each not verified."""
    return [
        f"{prefix}{label}{number}.wav,{label},{int(number > 0)}{more}\n"
        for number in range(5)
        for label in CLASSES
    ]


@pytest.fixture
def kaggle(tmp_path):
    header = "fname,label,manually_verified\n"
    (tmp_path / "train.csv").write_text(header + "".join(rows("a")))
    return tmp_path


@pytest.fixture
def zenodo(tmp_path):
    """Two clips of one recording, and three scored test clips."""
    meta = tmp_path / "FSDKaggle2018.meta"
    meta.mkdir()
    header = "fname,label,manually_verified,freesound_id,license\n"
    lines = [f"{line.strip()},{i},CC\n" for i, line in enumerate(rows("a"))]
    # aCello1 and aCello0 are of recording 1.
    lines[4] = "aCello1.wav,Cello,1,1,CC\n"
    (meta / "train_post_competition.csv").write_text(header + "".join(lines))
    header = "fname,label,usage,freesound_id,license\n"
    test = [f"b{label}.wav,{label},Public,9{i},CC\n" for i, label in enumerate(CLASSES)]
    (meta / "test_post_competition_scoring_clips.csv").write_text(
        header + "".join(test)
    )
    return tmp_path


def ids(corpus, split):
    return {each.id for each in corpus.utterances(split)}


def test_the_numbers_of_the_labels_are_the_publications():
    # Those that Subramanian et al. attack.
    numbers = {"Bass_drum": 3, "Cello": 6, "Clarinet": 8, "Oboe": 29, "Snare_drum": 33}
    numbers |= {"Tearing": 36, "Telephone": 37, "Violin_or_fiddle": 39, "Writing": 40}
    assert {name: LABELS.index(name) for name in numbers} == numbers
    assert len(LABELS) == 41 and list(LABELS) == sorted(LABELS)


def test_clips_of_a_class_go_to_the_folds_in_turn(kaggle):
    corpus = fsdkaggle2018(kaggle, fold=2)
    assert corpus.labels == ("Bark", "Cello", "Telephone") and corpus.whole
    assert ids(corpus, "test") == {"aBark1", "aCello1", "aTelephone1"}
    assert ids(corpus, "validation") == {"aBark2", "aCello2", "aTelephone2"}
    assert [len(corpus.utterances(split)) for split in SPLITS] == [9, 3, 3]
    labels = {each.id: each.label for each in corpus.utterances("test")}
    assert labels == {"aBark1": 0, "aCello1": 1, "aTelephone1": 2}


def test_some_classes_and_verified_clips_only(kaggle):
    corpus = fsdkaggle2018(kaggle, classes=("Cello", "Bark"), verified_only=True)
    assert corpus.labels == ("Bark", "Cello")
    assert ids(corpus, "test") == {"aBark1", "aCello1"}
    assert sum(len(corpus.utterances(split)) for split in SPLITS) == 8


def test_utterances_know_whether_their_label_is_verified(zenodo):
    corpus = fsdkaggle2018(zenodo, official_test=True, pitch_shift="resample")
    utterances = [each for split in SPLITS for each in corpus.utterances(split)]
    unverified = {each.id for each in utterances if not each.verified}
    # The first clip of a class is in fold 1, which validates.
    assert unverified == {"aBark0", "aCello0", "aTelephone0"}
    corpus = fsdkaggle2018(zenodo, fold=3, pitch_shift="resample")
    versions = {each.id for each in corpus.utterances("train") if not each.verified}
    assert versions == {
        f"{name}{version}"
        for name in unverified
        for version in ("", "~x0.75", "~x0.9", "~x1.15", "~x1.5")
    }
    assert all(type(each.verified) is bool for each in utterances)


def test_zenodos_tables_know_recordings_and_test_clips(zenodo):
    corpus = fsdkaggle2018(zenodo)
    # aCello0 is tested on, and aCello1 is of its recording.
    assert set(corpus.left_out) == {"aCello1"}
    corpus = fsdkaggle2018(zenodo, official_test=True, fold=5)
    assert ids(corpus, "test") == {"bBark", "bCello", "bTelephone"}
    assert ids(corpus, "validation") == {"aBark4", "aCello4", "aTelephone4"}
    assert len(corpus.utterances("train")) == 12


def test_bad_input(kaggle, tmp_path):
    with pytest.raises(FileNotFoundError, match="has none of FSDKaggle2018.meta/test"):
        fsdkaggle2018(kaggle, official_test=True)
    with pytest.raises(ValueError, match="no class Dog; there are Acoustic_guitar"):
        fsdkaggle2018(kaggle, classes=("Dog", "Bark"))
    with pytest.raises(ValueError, match="no clips of Oboe in .*some of Bark, Cello"):
        fsdkaggle2018(kaggle, classes=("Oboe", "Bark"))
    with pytest.raises(ValueError, match="no fold 6 in .*there are 1, 2, 3, 4, 5"):
        fsdkaggle2018(kaggle, fold=6)
    with (kaggle / "train.csv").open("a") as file:
        file.write("c.wav,Cat,1\n")
    with pytest.raises(ValueError, match="c.wav of 'Cat', which is none of the 41"):
        fsdkaggle2018(kaggle)
    (kaggle / "train.csv").unlink()
    with pytest.raises(FileNotFoundError, match="Kaggle or Zenodo"):
        fsdkaggle2018(kaggle)


def test_real_sounds(advjax_data):
    corpus = fsdkaggle2018(advjax_data / "FSDKaggle2018", sample_rate_hz=32_000)
    assert len(corpus.labels) == 10 and corpus.labels[:2] == (
        "Acoustic_guitar", "Bass_drum",
    )  # fmt: skip
    sizes = [len(corpus.utterances(split)) for split in SPLITS]
    assert sum(sizes) + len(corpus.left_out) == 52
    assert {each.label for each in corpus.utterances("test")} == set(range(10))
    waves = [each.load() for each in corpus.utterances("test")]
    assert all(1.0 <= len(wave) / 32_000 < 8 for wave in waves)
    assert all(0.001 < np.abs(wave).max() <= 1 for wave in waves)
