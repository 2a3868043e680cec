import dataclasses
import functools
import io

import jax
import numpy as np
import pytest

from advjax import records
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.signal.samples import from_int16, to_int16
from data_prep import build as building
from data_prep.build import build, pick_corpus
from data_prep.clips import UnreadableAudio
from data_prep.corpora.base import SPLITS, Corpus, Utterance
from data_prep.program_flags import POLICY
from data_prep.verify import verify

ROOT = Waveform(num_samples=1600)
REPRESENTATION = MelEnergies(source=Magnitude(source=ROOT))
CROPS = {"train": 33, "validation": 2, "test": 5}


def speak(seed, length):
    return np.random.default_rng(seed).uniform(-0.6, 0.6, length).astype(np.float32)


def spoil(wave, value):
    wave = wave.copy()
    wave[7:10] = value
    return wave


def corpus(changed=None, num_utterances=None):
    """Two speakers of noise; `changed` maps ids to other loads."""
    counts = num_utterances or {"train": 3, "validation": 1, "test": 2}
    splits = {}
    for number, split in enumerate(SPLITS):
        splits[split] = tuple(
            Utterance(
                f"{label}-{split}-{index}",
                label,
                f"s{label}",
                functools.partial(speak, [label, number, index], 4000 + 500 * index),
            )
            for label in (0, 1)
            for index in range(counts[split])
        )
        splits[split] = tuple(
            each._replace(load=(changed or {}).get(each.id, each.load))
            for each in splits[split]
        )
    return Corpus(name="noise", labels=("anna", "bert"), splits=splits)


def make(folder, source=None, **options):
    options = {
        "crops_per_class": CROPS,
        "file_format": "npz",
    } | options
    return build(source or corpus(), REPRESENTATION, folder, **options)


def test_features_are_those_of_the_stored_audio(tmp_path):
    make(tmp_path / "set")
    for split in SPLITS:
        source = records.read(tmp_path / "set", split, expect=REPRESENTATION)
        assert len(source) == 2 * CROPS[split]  # 66 are more than a batch
        for index, example in enumerate(source):
            wave = from_int16(example["audio"])
            if index in (0, 1, 63, 64, 65):  # around the end of a batch
                with jax.disable_jit():
                    wanted = REPRESENTATION.apply(jax.numpy.asarray(wave))
                np.testing.assert_allclose(example["features"], wanted, atol=1e-4)
            # The audio is where the id says, in steps of 16 bits.
            name, place = example["id"].split("@")
            label, split_name, index = name.split("-")
            assert split_name == split
            assert example["speaker"] == f"s{example['label']}" == f"s{label}"
            spoken = speak(
                [int(label), SPLITS.index(split), int(index)], 4000 + 500 * int(index)
            )
            cut = spoken[int(place) : int(place) + 1600]
            assert np.max(np.abs(cut - wave[: len(cut)])) <= 0.5 / 32768


def test_the_manifest_says_how_it_was_made(tmp_path, capsys):
    info = make(tmp_path / "set", seed=5, options={"num_speakers": 2})
    assert info == records.info(tmp_path / "set")
    assert info.name == "noise" and info.labels == ("anna", "bert")
    assert info.splits == {"train": 66, "validation": 4, "test": 10}
    assert info.metadata == {
        "corpus": "noise",
        "corpus_options": {"num_speakers": 2},
        "seed": 5,
        "crops": {
            "train": {"policy": "random", "per_class": 33},
            "validation": {"policy": "spaced", "per_class": 2},
            "test": {"policy": "spaced", "per_class": 5},
        },
        "counts": {
            "train": {"anna": 33, "bert": 33},
            "validation": {"anna": 2, "bert": 2},
            "test": {"anna": 5, "bert": 5},
        },
        "utterances": {"train": 6, "validation": 2, "test": 4},
        "on_error": "stop",
        "skipped": [],
    }
    assert "build noise: 12 utterances in" in capsys.readouterr().err


def test_the_same_command_builds_the_same_records(tmp_path):
    sets = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make(tmp_path / name, seed=seed)
        sets.append(records.load(records.read(tmp_path / name, "train")))
    for field in records.FIELDS:
        np.testing.assert_array_equal(sets[0][field], sets[1][field])
    assert set(sets[0]["id"]) != set(sets[2]["id"])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_nan_stops_the_build_by_id(tmp_path, value):
    source = corpus({"1-train-1": lambda: spoil(speak(0, 4000), value)})
    with pytest.raises(UnreadableAudio, match="1-train-1: 3 samples are NaN or inf"):
        make(tmp_path / "set", source)
    assert list(tmp_path.iterdir()) == []


def test_unusable_recordings_are_skipped_counted_and_listed(tmp_path):
    def unreadable():
        raise UnreadableAudio("b.flac", "cannot be decoded")

    source = corpus(
        {
            "0-train-2": lambda: spoil(speak(0, 4000), np.nan),
            "1-train-0": unreadable,
            "1-test-1": lambda: np.zeros(0, np.float32),
        }
    )
    info = make(tmp_path / "set", source, on_error="skip")
    assert info.metadata["skipped"] == [
        ["0-train-2", "3 samples are NaN or infinite"],
        ["b.flac", "cannot be decoded"],
        ["1-test-1", "holds no samples"],
    ]
    names = {
        example["id"].split("@")[0]
        for split in SPLITS
        for example in records.read(tmp_path / "set", split)
    }
    assert len(names) == 12 - 3 and not names & {"0-train-2", "1-train-0", "1-test-1"}
    assert info.splits["train"] == 66  # the others give the crops
    assert "3 recordings skipped" in building.summary(info, "set")
    assert "b.flac: cannot be decoded" in building.summary(info, "set")


def test_silence_is_stored_with_finite_features(tmp_path):
    silent = {f"0-{split}-0": lambda: np.zeros(4000, np.float32) for split in SPLITS}
    make(tmp_path / "set", corpus(silent))
    loaded = records.load(records.read(tmp_path / "set", "train"))
    still = np.all(loaded["audio"] == 0, axis=1)
    assert still.any() and not still.all()
    assert np.isfinite(loaded["features"]).all()


def test_a_split_without_utterances_is_left_out(tmp_path):
    counts = {"train": 2, "validation": 0, "test": 1}
    info = make(tmp_path / "set", corpus(num_utterances=counts))
    assert set(info.splits) == {"train", "test"}
    with pytest.raises(ValueError, match="noise has no utterances.*0 in train"):
        make(tmp_path / "other", corpus(num_utterances=dict.fromkeys(SPLITS, 0)))


def test_fewer_examples_than_asked_for_are_said(tmp_path):
    short = {f"1-test-{i}": functools.partial(speak, i, 1000) for i in range(2)}
    info = make(tmp_path / "set", corpus(short))
    assert info.metadata["counts"]["test"] == {"anna": 5, "bert": 2}
    assert "test: fewer than 5 different examples in 1 classes (bert 2)" in (
        building.summary(info, "set")
    )


def test_whole_clips_ignore_the_crops_and_say_what_was_trimmed(tmp_path):
    source = corpus(
        {
            "0-test-0": functools.partial(speak, 7, 1600),  # as long as an example
            "1-test-1": functools.partial(speak, 8, 300),
        }
    )
    source = dataclasses.replace(source, whole=True)
    info = make(tmp_path / "set", source)
    assert info.splits == {"train": 6, "validation": 2, "test": 4}
    assert info.metadata["crops"] == {
        "train": {"policy": "whole", "trimmed": 6},
        "validation": {"policy": "whole", "trimmed": 2},
        "test": {"policy": "whole", "trimmed": 2},
    }
    assert info.metadata["counts"]["train"] == {"anna": 3, "bert": 3}
    told = building.summary(info, "set")
    assert "fewer" not in told and "no examples" not in told
    assert "test: 2 clips are longer than the 0.1 s of an example" in told
    loaded = records.load(records.read(tmp_path / "set", "test"))
    assert list(loaded["id"]) == [f"{a}-test-{i}@0" for a in (0, 1) for i in (0, 1)]
    np.testing.assert_array_equal(loaded["audio"][0], to_int16(speak(7, 1600)))
    np.testing.assert_array_equal(loaded["audio"][3][:300], to_int16(speak(8, 300)))
    assert not loaded["audio"][3][300:].any()


def test_what_the_corpus_left_out_is_listed_with_what_could_not_be_read(tmp_path):
    source = corpus({"1-test-1": lambda: np.zeros(0, np.float32)})
    source = dataclasses.replace(source, left_out={"0-train-9": "known already"})
    info = make(tmp_path / "set", source, on_error="skip")
    assert info.metadata["skipped"] == [
        ["0-train-9", "known already"],
        ["1-test-1", "holds no samples"],
    ]
    assert "0-train-9: known already" in building.summary(info, "set")


def test_a_caveat_and_the_untested_are_kept_and_told(tmp_path):
    source = dataclasses.replace(corpus(), caveat="all in one room")
    splits = dict(source.splits, test=source.splits["test"][:2])
    source = dataclasses.replace(source, splits=splits, not_tested=("bert",))
    info = make(tmp_path / "set", source)
    assert info.metadata["caveat"] == "all in one room"
    assert info.metadata["not_tested"] == ["bert"]
    told = building.summary(info, "set")
    assert "caveat: all in one room" in told and "bert" not in told
    found = verify(tmp_path / "set", stream=io.StringIO())
    assert found.problems == ()


def test_a_class_without_whole_clips_in_a_split_is_said(tmp_path):
    source = corpus()
    splits = dict(source.splits, test=source.splits["test"][:2])
    info = make(
        tmp_path / "set", dataclasses.replace(source, splits=splits, whole=True)
    )
    assert "test: no examples in 1 classes (bert 0)" in building.summary(info, "set")


def test_the_corpus_is_asked_for_what_the_representation_needs():
    made, options = pick_corpus("voices(num_speakers=3)")
    assert len(made.labels) == 3
    assert options == {
        "seed": 0,
        "num_speakers": 3,
        "minutes_per_speaker": 3.0,
        "speaker_spread": 1.5,
    }
    for text, changes, complaint in [
        ("voicez", {}, "Did you mean 'voices'"),
        ("voices(speakers=3)", {}, "voices has no option speakers"),
        ("voices", {"corpus_dir": "x"}, "voices has no corpus_dir"),
        ("voices", {"sample_rate_hz": 8000}, "voices has no sample_rate_hz"),
        ("librispeech", {}, "--corpus_dir=FOLDER"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            pick_corpus(text, **changes)
    with pytest.raises(FileNotFoundError, match="no folder .*nowhere"):
        pick_corpus("librispeech", corpus_dir="nowhere")


def test_features_of_large_images_are_not_stored(tmp_path, monkeypatch):
    assert building.stores_features(REPRESENTATION)
    lines = building.plan(corpus(), REPRESENTATION, CROPS, POLICY)
    assert "9 x 64 x 1\n" in lines
    monkeypatch.setattr(building, "LARGEST_STORED", 9 * 64 * 4 - 1)
    monkeypatch.setattr(building, "features_of", None)  # None are computed either.
    lines = building.plan(corpus(), REPRESENTATION, CROPS, POLICY)
    assert "9 x 64 x 1, not stored\n" in lines
    info = make(tmp_path / "bare")
    assert "features" not in info.fields
    monkeypatch.undo()
    whole = make(tmp_path / "whole")
    assert whole._replace(fields=info.fields) == info
    for split in info.splits:
        bare, full = (
            records.load(records.read(tmp_path / name, split), fields=("id", "audio"))
            for name in ("bare", "whole")
        )
        for field in bare:
            np.testing.assert_array_equal(bare[field], full[field])
