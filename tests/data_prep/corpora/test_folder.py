"""The corpus `folder`: one listing of three layouts, splits by group, segments."""

import json
import os

import numpy as np
import pytest

from advjax.representations import Magnitude
from data_prep import build
from data_prep.clips import UnreadableAudio, decode
from data_prep.corpora.base import SPLITS
from data_prep.corpora.folder import folder
from data_prep.corpora.groups import split_by_group
from tests.data_prep.corpora.own_folders import (
    CLASSES,
    ROWS,
    class_folders,
    clip,
    json_lines,
    kaldi,
    names,
    table,
)


def listed(corpus):
    """Everything on the utterances of a corpus but the speaker."""
    return {
        split: [(u.id, u.label, u.seconds) for u in corpus.utterances(split)]
        for split in SPLITS
    }


def parts(corpus):
    """Split of each utterance, by id."""
    return {each.id: split for split in SPLITS for each in corpus.utterances(split)}


def test_the_layouts_list_the_same_clips_in_the_same_splits(tmp_path):
    made = [
        make(tmp_path / make.__name__)
        for make in (class_folders, table, json_lines, kaldi)
    ]
    corpora = [folder(root) for root in made]
    assert listed(corpora[0])["train"][0] == ("cat/c1", 0, 0.05)
    assert all(listed(each) == listed(corpora[0]) for each in corpora)
    assert {each.labels for each in corpora} == {CLASSES}
    waves = [each.utterances("test")[1].load() for each in corpora]
    assert all(np.array_equal(wave, waves[0]) for wave in waves)
    assert len(waves[0]) == 800


def test_a_split_is_seeded_and_has_its_shares(tmp_path):
    class_folders(tmp_path, count=12)
    first, again = folder(tmp_path), folder(tmp_path)
    assert listed(first) == listed(again)
    assert listed(first) != listed(folder(tmp_path, seed=1))
    assert [len(first.utterances(split)) for split in SPLITS] == [24, 3, 9]
    assert first.caveat == (
        "split by file, seed 0: no file trains and also tests; speakers are not known"
    )
    assert set(first.listing["test"]) == {u.id for u in first.utterances("test")}


def test_speakers_stay_on_one_side_over_all_classes(tmp_path):
    speakers = "abcdefg"
    rows = [
        f"{name}/{name[0]}{index}.wav,{name},{speakers[(index + shift) % 7]}"
        for shift, name in enumerate(CLASSES)
        for index in range(14)
    ]
    class_folders(tmp_path, count=14)
    text = "\n".join(["file_name,label,speaker", *rows])
    (tmp_path / "metadata.csv").write_text(text)
    for seed in range(5):
        corpus = folder(tmp_path, seed=seed)
        sides = [{u.speaker for u in corpus.utterances(split)} for split in SPLITS]
        assert sum(map(len, sides)) == 7 and all(sides)
        for split in ("train", "test"):
            assert {u.label for u in corpus.utterances(split)} == {0, 1, 2}
    by_file = folder(tmp_path, group="file")
    sides = [{u.speaker for u in by_file.utterances(split)} for split in SPLITS]
    assert sum(map(len, sides)) > 7
    assert by_file.caveat.startswith("split by file, seed 0: no file trains and also")


@pytest.mark.parametrize("count", [2, 3, 5, 10, 30])
def test_every_class_trains_and_tests(count):
    labels = ["a"] * count + ["b"] * 40
    groups = list(range(count + 40))
    shares = {"test": 0.2, "validation": 0.1}
    for seed in range(10):
        found = split_by_group(labels, groups, seed=seed, shares=shares)
        of_a = found[:count]
        assert of_a.count("test") == -(-count // 5)
        assert of_a.count("train") >= 1
        assert (of_a.count("validation") >= 1) == (count > 2)


def test_a_group_that_spans_classes_leaves_one_of_each():
    labels, groups = ["a", "a", "b", "b", "c", "c"], [1, 2, 1, 3, 2, 3]
    for seed in range(10):
        found = split_by_group(labels, groups, seed=seed, shares={"test": 0.5})
        trained = {x for x, s in zip(labels, found, strict=True) if s == "train"}
        assert trained == {"a", "b", "c"}


def test_a_given_split_is_kept_and_what_it_shares_is_told(tmp_path):
    splits = ("train", "train", "validation", "test")
    rows = [
        f"{row},{splits[index % 4]},{'ann' if index % 2 else 'bob'}"
        for index, row in enumerate(ROWS)
    ]
    table(tmp_path, rows, header="file_name,label,split,speaker")
    corpus = folder(tmp_path)
    assert [len(corpus.utterances(split)) for split in SPLITS] == [6, 3, 3]
    assert corpus.caveat == "split as given, 1 of 2 (speaker) train and also test"
    assert parts(corpus)["cat/c3"] == "test"
    assert set(corpus.listing) == {"digest", "split"}


def test_what_a_split_lacks_is_made_of_training_clips(tmp_path):
    for part in ("train", "test"):
        class_folders(tmp_path / part, count=10)
    corpus = folder(tmp_path)
    assert [len(corpus.utterances(split)) for split in SPLITS] == [27, 3, 30]
    assert all(each.id.startswith("train/") for each in corpus.utterances("validation"))
    assert "validation made of training clips by file, seed 0" in corpus.caveat


def test_segments_are_cut_and_grouped_by_file(tmp_path):
    rows = []
    for number in range(4):
        clip(tmp_path / f"{number}.wav", seconds=1.0)
        rows += [f"{number}.wav,speech,0.1,0.25", f"{number}.wav,noise,0.5,"]
    text = "\n".join(["file_name,label,start,end", *rows])
    (tmp_path / "metadata.csv").write_text(text)
    corpus = folder(tmp_path)
    by_id = {each.id: each for s in SPLITS for each in corpus.utterances(s)}
    whole = decode(tmp_path / "2.wav")
    speech = by_id["2_0.100-0.250"]
    np.testing.assert_array_equal(speech.load(), whole[1600:4000])
    assert speech.seconds == pytest.approx(0.15)
    np.testing.assert_array_equal(by_id["2_0.500-end"].load(), whole[8000:])
    split_of = parts(corpus)
    for number in range(4):
        first, second = f"{number}_0.100-0.250", f"{number}_0.500-end"
        assert split_of[first] == split_of[second]


def test_a_segment_past_its_file_cannot_be_read(tmp_path):
    text = [f"{n[:-4]} {n[:-4]} 0 {9 if n == 'cat/c0.wav' else 0.08}" for n in names()]
    kaldi(tmp_path, segments=text)
    by_id = {each.id: each for s in SPLITS for each in folder(tmp_path).utterances(s)}
    # Times that were rounded up a little are cut.
    assert len(by_id["cat/c1"].load()) == 800
    with pytest.raises(UnreadableAudio, match="ends at 9 s, and the recording at 0.05"):
        by_id["cat/c0"].load()


def test_labels_of_kaldi_and_of_another_column(tmp_path):
    lines = [f"{n[:-4]} {'even' if i % 2 else 'odd'}" for i, n in enumerate(names())]
    kaldi(tmp_path / "k", utt2lang=lines)
    corpus = folder(tmp_path / "k", label="lang")
    assert corpus.labels == ("even", "odd")
    assert {each.speaker for each in corpus.utterances("train")} <= set(CLASSES)
    with pytest.raises(ValueError, match="no .*utt2lnag.*Did you mean 'utt2lang'"):
        folder(tmp_path / "k", label="lnag")
    table(tmp_path / "t", header="file_name,kind")
    assert folder(tmp_path / "t", label="kind").labels == CLASSES
    with pytest.raises(ValueError, match="label='kind' names a column"):
        folder(class_folders(tmp_path / "c"), label="kind")


def test_numbers_are_in_their_order_and_classes_are_chosen(tmp_path):
    class_folders(tmp_path, ("10", "9", "a"))
    assert folder(tmp_path).labels == ("9", "10", "a")
    assert folder(tmp_path, classes=("a", "10")).labels == ("10", "a")
    with pytest.raises(ValueError, match="no class b in .*; there are 10, 9, a"):
        folder(tmp_path, classes="b")


def test_groups_that_there_are_not(tmp_path):
    class_folders(tmp_path)
    with pytest.raises(ValueError, match="group='speaker' needs speakers"):
        folder(tmp_path, group="speaker")
    kaldi(tmp_path / "k")
    with pytest.raises(ValueError, match="3 labels .*leave group='speaker' out"):
        folder(tmp_path / "k", group="speaker")


def test_records_say_what_was_found_and_how_it_was_split(tmp_path):
    class_folders(tmp_path / "set")
    corpus, options = build.pick_corpus("folder(crops='whole')", str(tmp_path / "set"))
    assert corpus.whole
    info = build.build(
        corpus, Magnitude(), tmp_path / "out", options=options, file_format="npz"
    )
    assert info.splits == {"train": 6, "validation": 3, "test": 3}
    metadata = json.loads(json.dumps(info.metadata))
    assert metadata["found"] == list(corpus.found)
    assert metadata["listing"]["split"] == corpus.caveat == metadata["caveat"]
    assert sorted(metadata["listing"]["test"]) == sorted(
        each.id for each in corpus.utterances("test")
    )


def test_another_file_under_a_name_gives_another_digest(tmp_path):
    class_folders(tmp_path)
    first = folder(tmp_path).listing["digest"]
    assert folder(tmp_path).listing["digest"] == first
    os.utime(tmp_path / "cat/c0.wav", ns=(1, 1))
    assert folder(tmp_path).listing["digest"] != first
