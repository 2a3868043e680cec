import pathlib

import numpy as np
import pytest
import soundfile

from data_prep.clips import UnreadableAudio
from data_prep.corpora.base import SPLITS
from data_prep.corpora.folds import FoldClip, Portions, in_folds

TABLE = pathlib.Path("meta/table.csv")


def clip(fold, target, recording, stem=None):
    name = stem or f"{fold}-{recording}-{target}"
    path = pathlib.Path("audio") / f"{name}.wav"
    return FoldClip(path, fold, target, f"sound{target}", recording)


def two_classes(folds):
    """Two clips of either class in every fold, each from a recording of its own."""
    return [
        clip(fold, target, f"r{fold}{target}{take}")
        for fold in folds
        for target in (7, 3)
        for take in range(2)
    ]


def listed(clips, **options):
    options = {
        "name": "sounds",
        "table": TABLE,
        "fold": 1,
        "validation_fold": None,
        "pitch_shift": None,
        "sample_rate_hz": 8000,
    } | options
    return in_folds(clips, **options)


def folds_of(corpus):
    return {
        split: {int(each.id[0]) for each in corpus.utterances(split)}
        for split in SPLITS
    }


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ({3, 5, 8}, {2}, {1})),
        ({"fold": 3}, ({1, 2, 8}, {5}, {3})),
        ({"fold": 8}, ({2, 3, 5}, {1}, {8})),
        ({"fold": 2, "validation_fold": 8}, ({1, 3, 5}, {8}, {2})),
    ],
)
def test_a_fold_tests_the_next_one_validates_and_the_rest_trains(options, expected):
    corpus = listed(two_classes([1, 2, 3, 5, 8]), **options)
    assert tuple(folds_of(corpus).values()) == expected
    assert corpus.whole
    assert corpus.labels == ("sound3", "sound7")  # in the order of the targets
    for split in SPLITS:
        for each in corpus.utterances(split):
            assert corpus.labels[each.label] == f"sound{each.id[-1]}"
            assert each.speaker == each.id[2:-2]


def test_a_fold_that_lacks_classes_does_not_validate_unless_it_is_asked_to():
    clips = two_classes([1, 2, 4]) + [clip(3, 7, "alone")]
    assert folds_of(listed(clips, fold=2))["validation"] == {4}
    asked = listed(clips, fold=2, validation_fold=3)
    assert folds_of(asked)["validation"] == {3}


def test_clips_of_a_recording_that_is_measured_on_are_left_out():
    clips = two_classes([1, 2, 3, 4])
    # Twice in one fold and in two folds that both train is no leak.
    harmless = [
        clip(1, 7, clips[0].recording, "1-again"),
        clip(3, 7, "shared"),
        clip(4, 7, "shared"),
    ]
    assert listed([*clips, *harmless]).left_out == {}
    tested, validated = clips[0].recording, clips[4].recording
    leaks = [clip(2, 3, tested), clip(3, 3, validated)]
    corpus = listed([*clips, *harmless, *leaks], pitch_shift="resample")
    assert corpus.left_out == {
        f"2-{tested}-3": f"its recording {tested} is in fold 1 too, for test",
        f"3-{validated}-3": f"its recording {validated} is in fold 2 too, for "
        "validation",
    }
    sizes = [len(corpus.utterances(split)) for split in SPLITS]
    assert sizes == [5 * 10, 4, 5]
    sides = [{each.speaker for each in corpus.utterances(split)} for split in SPLITS]
    assert sum(map(len, sides)) == len(set().union(*sides))
    # Where folds 3 and 2 are measured on, it is fold 1 that lacks a clip.
    assert list(listed([*clips, leaks[0]], fold=2, validation_fold=3).left_out) == [
        clips[0].path.stem
    ]


def recordings_of(corpus):
    return {
        split: {each.speaker for each in corpus.utterances(split)} for split in SPLITS
    }


def test_a_share_of_the_recordings_of_other_folds_validates():
    # Three clips of each of ten recordings of a class, in two of three folds.
    clips = [
        clip(2 + number % 2, target, f"r{number}{target}", f"{number}-{target}-{take}")
        for target in (3, 7)
        for number in range(10)
        for take in range(3)
    ]
    clips += [clip(1, target, f"test{target}") for target in (3, 7)]
    corpus = listed(clips, portions=Portions(0.2))
    found = recordings_of(corpus)
    assert {split: len(each) for split, each in found.items()} == {
        "train": 16, "validation": 4, "test": 2,
    }  # fmt: skip
    assert not found["train"] & found["validation"]
    for target in "37":
        assert sum(name[-1] == target for name in found["validation"]) == 2
    assert recordings_of(listed(clips, portions=Portions(0.2))) == found
    other = recordings_of(listed(clips, portions=Portions(0.2, seed=1)))
    assert other["validation"] != found["validation"]

    # Fewer recordings train; those that validate stay, and smaller shares are nested.
    half, quarter = (
        recordings_of(listed(clips, portions=Portions(0.2, share)))
        for share in (0.5, 0.25)
    )
    assert half["validation"] == quarter["validation"] == found["validation"]
    assert quarter["train"] < half["train"] < found["train"]
    assert [len(half["train"]), len(quarter["train"])] == [8, 4]


@pytest.mark.parametrize(
    ("portions", "options", "complaint"),
    [
        (Portions(1.0), {}, "validation_share=1.0"),
        (Portions(train=0.0), {}, "train_share=0.0"),
        (Portions(0.2), {"validation_fold": 2}, "give one"),
    ],
)
def test_impossible_portions_are_refused(portions, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        listed(two_classes([1, 2, 3]), portions=portions, **options)


def test_shuffled_folds_are_refused():
    clips = two_classes([1, 2, 3, 4])
    pairs = [each._replace(recording=f"r{n % 8}") for n, each in enumerate(clips)]
    with pytest.raises(ValueError, match="8 of 16 clips in .* the official folds"):
        listed(pairs)


@pytest.mark.parametrize(
    ("change", "options", "complaint"),
    [
        (lambda c: c, {"fold": 9}, "no fold 9 in .*table.csv; there are 1, 2, 3"),
        (lambda c: c, {"validation_fold": 0}, "no fold 0 in"),
        (lambda c: c, {"validation_fold": 1}, "testing and for validation"),
        (lambda c: c, {"pitch_shift": "speed"}, "resample or phase_vocoder"),
        (lambda c: c[:8], {}, "in 2 folds only, and three are needed"),
        (lambda c: [], {}, "lists no clips"),
        (lambda c: [*c, c[0]], {}, "lists 1-r170-7 twice"),
        (lambda c: [*c, clip(1, 4, "r9")], {}, "no training clips of sound4"),
        (
            lambda c: [*c, c[0]._replace(category="bark")],
            {},
            "two names .*3 sound3, 7 bark, 7 sound7",
        ),
        (lambda c: [*c, c[0]._replace(target=5)], {}, "or two numbers"),
    ],
)
def test_bad_tables_and_folds(change, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        listed(change(two_classes([1, 2, 3])), **options)


def test_only_training_clips_are_shifted(tmp_path):
    clips = [
        each._replace(path=tmp_path / each.path.name)
        for each in two_classes([1, 2, 3, 4])
    ]
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 1000)
    for each in clips:
        soundfile.write(each.path, samples, 8000)
    plain = listed(clips)
    shifted = listed(clips, pitch_shift="resample")
    names = {split: [each.id for each in shifted.utterances(split)] for split in SPLITS}
    for split in ("validation", "test"):
        assert names[split] == [each.id for each in plain.utterances(split)]
    originals = [each.id for each in plain.utterances("train")]
    assert names["train"] == [
        f"{name}{version}"
        for name in originals
        for version in ("", "~x0.75", "~x0.9", "~x1.15", "~x1.5")
    ]
    assert len(set(names["train"])) == 5 * len(originals) == 40
    versions = shifted.utterances("train")[:5]
    assert len({(each.label, each.speaker) for each in versions}) == 1
    lengths = [len(each.load()) for each in versions]
    assert lengths == [1000, 1334, 1112, 870, 667]
    for split in SPLITS:
        for before in plain.utterances(split)[:1]:
            after = next(u for u in shifted.utterances(split) if u.id == before.id)
            np.testing.assert_array_equal(before.load(), after.load())


def test_a_listed_file_that_is_not_there_and_one_without_samples(tmp_path):
    path = tmp_path / "1-x-3.wav"
    clips = [clip(1, 3, "x")._replace(path=path), *two_classes([2, 3, 4])]
    first = listed(clips).utterances("test")[0]
    with pytest.raises(UnreadableAudio, match=r"1-x-3.wav: no such file, though .*csv"):
        first.load()
    soundfile.write(path, np.zeros(0), 8000)
    with pytest.raises(UnreadableAudio, match=r"1-x-3.wav: holds no samples"):
        first.load()
