import json
import os
import pathlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from advjax import records
from advjax.records import array_record, store
from advjax.representations import Magnitude, MelEnergies, Waveform
from tests.record_sets import (
    LABELS,
    REPRESENTATION,
    SET,
    SIZES,
    example,
    examples,
    skip_without_writer,
    write,
)


class Payload:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return pathlib.Path.touch, (self.path,)


def test_what_is_read_is_what_was_written_in_that_order(built):
    for split, size in SIZES.items():
        source = records.read(built, split, expect=REPRESENTATION)
        assert len(source) == size
        for got, wanted in zip(source, examples(split), strict=True):
            assert set(got) == set(records.FIELDS)
            for field in ("audio", "features"):
                assert got[field].dtype == wanted[field].dtype
                np.testing.assert_array_equal(got[field], wanted[field])
            for field in ("id", "label", "speaker"):
                assert got[field] == wanted[field]
                assert type(got[field]) is type(wanted[field])


def test_info_is_what_was_said(built):
    info = records.info(built)
    assert info == records.Info(
        "voices", REPRESENTATION, LABELS, SIZES, {"seed": 3, "note": "ß"}
    )
    assert hash(info.representation) == hash(REPRESENTATION)


def test_a_record_is_a_copy_and_indices_are_checked(built):
    source = records.read(built, "train")
    first = source[0]
    first["audio"][:] = 0
    first["features"][:] = 0
    np.testing.assert_array_equal(source[0]["audio"], examples("train")[0]["audio"])
    assert source[-1]["id"] == source[6]["id"] == source[np.int64(6)]["id"]
    for index in (7, -8):
        with pytest.raises(IndexError):
            source[index]


def test_load_stacks_every_field_in_order(built):
    source = records.read(built, "train")
    seen = []
    loaded = records.load(source, progress=lambda: seen.append(1))
    wanted = examples("train")
    assert len(seen) == 7
    assert loaded["label"].dtype == np.int32
    for field in records.FIELDS:
        stacked = np.stack([np.asarray(each[field]) for each in wanted])
        np.testing.assert_array_equal(loaded[field], stacked)
    assert set(records.load(source, fields=("label",))) == {"label"}
    with pytest.raises(ValueError, match="no field wave; there are id, audio"):
        records.load(source, fields=("wave",))


def test_a_large_split_has_several_shards(tmp_path, monkeypatch):
    skip_without_writer("array_record")
    import tensorflow_datasets as tfds

    monkeypatch.setattr(array_record, "MAX_SHARD_BYTES", 1)
    write(tmp_path)
    names = {path.name for path in (tmp_path / SET).glob("*record-*")}
    assert "voices-train.array_record-00006-of-00007" in names
    theirs = tfds.data_source("voices/mfbe", data_dir=tmp_path, split="train")
    for source in (records.read(tmp_path, "train"), theirs):
        for got, wanted in zip(source, examples("train"), strict=True):
            np.testing.assert_array_equal(got["audio"], wanted["audio"])


def test_npz_works_where_tfds_is_missing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    write(tmp_path / "set", file_format="npz")
    assert records.read(tmp_path / "set", "test")[1]["id"] == "test/ü-1@0"
    with pytest.raises(ModuleNotFoundError, match="pip install array-record"):
        write(tmp_path / "other", file_format="array_record")
    assert not (tmp_path / "other").exists()


def test_writing_is_silent_and_metadata_may_grow_on_the_way(
    tmp_path, file_format, capfd
):
    metadata = {"skipped": []}

    def growing():
        for each in examples("train"):
            metadata["skipped"].append(each["id"])
            yield each

    write(
        tmp_path / "set",
        {"train": growing()},
        metadata=metadata,
        file_format=file_format,
    )
    assert capfd.readouterr() == ("", "")
    skipped = records.info(tmp_path / "set").metadata["skipped"]
    assert skipped == [each["id"] for each in examples("train")]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"audio": np.zeros(1601, np.int16)}, r"int16 \(1600,\), not int16 \(1601,\)"),
        ({"audio": np.zeros(1600, np.float32)}, "not float32"),
        ({"features": np.zeros((2, 64, 1), np.float32)}, "features must be float32"),
        ({"features": "nan"}, "not finite"),
        ({"label": 3}, "label 3 is none of 0 to 2"),
        ({"label": -1}, "label -1 is none of 0 to 2"),
        ({"id": "train/ü-0@0"}, "occurred before"),
        ({"id": ""}, "empty"),
    ],
)
def test_a_bad_example_stops_the_build_by_name(
    tmp_path, file_format, changes, complaint
):
    if isinstance(changes.get("features"), str):
        features = example("test", 2)["features"]
        features[1, 2, 0] = np.nan
        changes = {"features": features}
    bad = [*examples("test")[:2], example("test", 2, **changes)]
    with pytest.raises(ValueError, match=complaint) as caught:
        write(
            tmp_path / "set",
            {"train": examples("train"), "test": bad},
            file_format=file_format,
        )
    assert repr(bad[2]["id"]) in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_the_makers_own_error_arrives_unchanged(tmp_path, file_format):
    class Odd(ValueError):
        def __init__(self, path, reason):
            super().__init__(f"{path}: {reason}")
            self.path = path

    def failing():
        yield example("train", 0)
        raise Odd("a.flac", "broken")

    with pytest.raises(Odd, match="^a.flac: broken$") as caught:
        write(tmp_path / "set", {"train": failing()}, file_format=file_format)
    assert caught.value.path == "a.flac"
    assert list(tmp_path.iterdir()) == []


def test_a_kill_in_mid_build_leaves_nothing_to_read(tmp_path):
    # One format is enough for a whole process: both fill the same kind of folder.
    pytest.importorskip("array_record")
    file_format = "array_record"
    program = (
        "import os, signal, sys\n"
        "sys.path.insert(0, sys.argv[3])\n"
        "import tests.record_sets as t\n"
        "def dying():\n"
        "    yield from t.examples('train')[:5]\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "t.write(sys.argv[1], {'train': dying()}, file_format=sys.argv[2])\n"
    )
    target = tmp_path / "set"
    root = pathlib.Path(__file__).parents[2]
    ran = subprocess.run(
        [sys.executable, "-c", program, str(target), file_format, str(root)],
        cwd=root,
        capture_output=True,
    )
    assert ran.returncode == -9, ran.stderr
    assert len(list(tmp_path.iterdir())) == 1  # what it left is hidden
    with pytest.raises(FileNotFoundError):
        records.read(target, "train")
    write(target, file_format=file_format)
    assert [path.name for path in tmp_path.iterdir()] == ["set"]
    assert len(records.read(target, "train")) == 7


def test_bad_requests_are_refused_before_any_work(tmp_path):
    def untouched():
        pytest.fail("drew an example")
        yield

    for changes, complaint in [
        ({"file_format": "hdf5"}, "array_record or npz"),
        ({"name": "My Voices"}, "cannot name"),
        ({"labels": ("a", "a")}, "all differ"),
        ({"labels": ()}, "labels"),
    ]:
        with pytest.raises(ValueError, match=complaint):
            write(tmp_path / "set", {"train": untouched()}, **changes)
    with pytest.raises(ValueError, match="at least one split"):
        write(tmp_path / "set", {})
    with pytest.raises(ValueError, match="'../up' cannot name"):
        write(tmp_path / "set", {"../up": untouched()})
    with pytest.raises(TypeError):
        write(tmp_path / "set", {"train": untouched()}, metadata={"a": object()})
    with pytest.raises(ValueError, match="'train' has no examples"):
        write(tmp_path / "set", {"train": []}, file_format="npz")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_folder_is_left_alone(built):
    before = sorted(path.name for path in built.iterdir())
    with pytest.raises(FileExistsError, match="delete it"):
        write(built)
    assert sorted(path.name for path in built.iterdir()) == before


def test_a_missing_folder_says_what_to_run(tmp_path):
    wanted = f"data_prep.build --corpus=voices --rep=mfbe --out={tmp_path / 'no'}"
    with pytest.raises(FileNotFoundError, match=wanted):
        records.read(tmp_path / "no", "train")


def test_an_unknown_split_lists_those_there(built):
    with pytest.raises(ValueError, match=r"has train \(7 records\), test \(4 records"):
        records.read(built, "validation")


def test_other_settings_are_refused_by_name(built):
    wide = MelEnergies(
        source=Magnitude(source=Waveform(num_samples=1600), window="hann"),
        num_bands=40,
    )
    with pytest.raises(ValueError) as caught:
        records.read(built, "train", expect=wide)
    assert "mfbe.num_bands is 64 there and 40 asked for" in str(caught.value)
    assert "magnitude.window is 'rectangular' there and 'hann'" in str(caught.value)
    assert "hop" not in str(caught.value)
    with pytest.raises(ValueError, match="mfbe is stored and magnitude asked for"):
        records.info(built, expect=REPRESENTATION.source)


def test_other_code_is_refused_with_the_size_of_the_difference(built, monkeypatch):
    off = np.zeros(16, np.float32)
    off[5] = 0.25
    right = store._probe(REPRESENTATION)
    monkeypatch.setattr(store, "_probe", lambda representation: right + off)
    for expect in (None, REPRESENTATION):
        with pytest.raises(ValueError, match=r"by up to 0\.25 .* build it again"):
            records.read(built, "train", expect=expect)
    monkeypatch.setattr(store, "_probe", lambda representation: right + np.nan)
    with pytest.raises(ValueError, match="other code"):
        records.read(built, "train")
    # The last bits may differ from one machine to the next.
    monkeypatch.setattr(store, "_probe", lambda representation: right + off * 1e-4)
    assert len(records.read(built, "train")) == 7


@pytest.mark.parametrize("damage", ["removed", "cut", "foreign"])
def test_an_incomplete_folder_is_no_record_set(copied, damage):
    header = copied / "records.json"
    if not header.is_file():
        header = copied / "metadata.json"
    if damage == "removed":
        header.unlink()
    elif damage == "cut":
        os.truncate(header, header.stat().st_size // 2)
    else:
        header.write_text('{"made by": "somebody else"}')
    with pytest.raises(ValueError, match="build it again"):
        records.read(copied, "train")


def test_a_definition_of_a_later_version_is_refused(copied):
    header = copied / "records.json"
    if not header.is_file():
        header = copied / "metadata.json"
    content = json.loads(header.read_text())
    content["definition"]["shiny"] = 1
    header.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="cannot be read by this version.*shiny"):
        records.info(copied)
    with pytest.raises(ValueError, match="mfbe.shiny is 1 there and 'nothing' asked"):
        records.info(copied, expect=REPRESENTATION)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_shortened_file_is_an_error_and_not_a_crash(copied, share):
    data = [*copied.glob("*-train.array_record*"), copied / "train" / "features.npy"]
    path = data[0] if len(data) == 2 else data[-1]
    os.truncate(path, int(share * path.stat().st_size))
    with pytest.raises(ValueError, match="build it again"):
        list(records.read(copied, "train"))


def test_a_flipped_byte_in_a_shard_is_found(copied):
    shards = list(copied.glob("*-train.array_record*"))
    if not shards:
        pytest.skip(".npy files carry no checksum")
    content = bytearray(shards[0].read_bytes())
    content[2000] ^= 1
    shards[0].write_bytes(content)
    with pytest.raises(ValueError, match="build it again"):
        list(records.read(copied, "train"))


def test_nothing_is_unpickled(copied):
    path = copied / "train" / "label.npy"
    if not path.is_file():
        pytest.skip("array_record shards hold no NumPy files")
    payload = Payload(copied / "ran")
    pickle.loads(pickle.dumps(payload))
    assert payload.path.exists()  # the payload would show itself
    payload.path.unlink()
    objects = np.empty(7, object)
    objects[:] = [payload] * 7
    np.save(path, objects, allow_pickle=True)
    with pytest.raises(ValueError, match="cannot read"):
        records.read(copied, "train")
    path.write_bytes(pickle.dumps(payload))
    with pytest.raises(ValueError, match="cannot read"):
        records.read(copied, "train")
    assert not payload.path.exists()
