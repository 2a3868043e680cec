import collections
import csv

import numpy as np
import pytest

from data_prep.build import pick_corpus
from data_prep.corpora.base import SPLITS
from data_prep.corpora.esc50 import esc50

HEADER = "filename,fold,target,category,esc10,src_file,take\n"


@pytest.fixture
def table(tmp_path):
    """Five folds of a dog (ESC-10), a wind and a rain (ESC-10)."""
    (tmp_path / "meta").mkdir()
    path = tmp_path / "meta" / "esc50.csv"
    rows = [
        f"{fold}-{fold}{target}-A-{target}.wav,{fold},{target},{name},{esc10},"
        f"{fold}{target},A\n"
        for fold in range(1, 6)
        for target, name, esc10 in (
            (16, "wind", False),
            (0, "dog", True),
            (10, "rain", True),
        )
    ]
    path.write_text(HEADER + "".join(rows))
    return path


def test_labels_are_in_the_order_of_the_targets(table):
    corpus = esc50(table.parents[1])
    assert corpus.labels == ("dog", "rain", "wind")
    test = corpus.utterances("test")
    assert {(each.id, each.label, each.speaker) for each in test} == {
        ("1-10-A-0", 0, "10"),
        ("1-110-A-10", 1, "110"),
        ("1-116-A-16", 2, "116"),
    }
    assert [len(corpus.utterances(split)) for split in SPLITS] == [9, 3, 3]


def test_esc10_goes_by_its_column(table):
    assert esc50(table.parents[1], esc10=True).labels == ("dog", "rain")


def test_some_classes_only(table):
    corpus = esc50(table.parents[1], classes=("wind", "dog"), fold=4)
    assert corpus.labels == ("dog", "wind")
    assert {each.id[0] for each in corpus.utterances("test")} == {"4"}
    with pytest.raises(ValueError, match="no class cat in .*dog, rain, wind"):
        esc50(table.parents[1], classes=("dog", "cat"))
    with pytest.raises(ValueError, match="no class wind in .*; there are dog, rain$"):
        esc50(table.parents[1], classes="wind", esc10=True)


def test_from_the_command_line(table):
    corpus, options = pick_corpus(
        "esc50(fold=2, pitch_shift='resample')", str(table.parents[1]), 8000
    )
    assert [len(corpus.utterances(split)) for split in SPLITS] == [45, 3, 3]
    assert options == {
        "corpus_dir": str(table.parents[1]),
        "fold": 2,
        "validation_fold": None,
        "validation_share": None,
        "train_share": 1.0,
        "split_seed": 0,
        "esc10": False,
        "classes": None,
        "pitch_shift": "resample",
        "sample_rate_hz": 8000,
    }


def test_bad_folders(table, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*meta/esc50.csv and audio/"):
        esc50(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="esc50.csv: .*give the folder"):
        esc50(table.parent)
    table.write_text(table.read_text().replace("src_file", "source"))
    with pytest.raises(ValueError, match="no column src_file; it has filename, fold"):
        esc50(table.parents[1])


def test_real_sounds(advjax_data):
    root = advjax_data / "ESC-50"
    corpus = esc50(root, fold=5, pitch_shift="resample")
    assert corpus.labels == (
        "dog",
        "rooster",
        "rain",
        "sea_waves",
        "crackling_fire",
        "crying_baby",
        "sneezing",
        "clock_tick",
        "helicopter",
        "chainsaw",
    )
    with (root / "meta" / "esc50.csv").open() as file:
        folds = collections.Counter(row["fold"] for row in csv.DictReader(file))
    assert {split: len(corpus.utterances(split)) for split in SPLITS} == {
        "train": 5 * sum(folds[fold] for fold in "234"),
        "validation": folds["1"],
        "test": folds["5"],
    }
    targets = (0, 1, 10, 11, 12, 20, 21, 38, 40, 41)
    for split in SPLITS:
        for each in corpus.utterances(split):
            fold, recording, _, target = each.id.partition("~")[0].split("-")
            assert each.label == targets.index(int(target))
            assert each.speaker == recording
            assert {"test": fold == "5", "validation": fold == "1"}.get(
                split, fold in "234"
            )
    clip, *versions = corpus.utterances("train")[:5]
    wave = clip.load()
    assert wave.shape == (80_000,) and np.abs(wave).max() > 0.01
    assert [len(each.load()) for each in versions] == [106_667, 88_889, 69_566, 53_334]


@pytest.mark.parametrize("fold", range(1, 6))
def test_real_folds_share_no_recording(advjax_data, fold):
    corpus = esc50(advjax_data / "ESC-50", fold=fold)
    of_split = [{each.speaker for each in corpus.utterances(split)} for split in SPLITS]
    assert sum(map(len, of_split)) == len(set().union(*of_split)) > 100
