import errno
import gc
import json
import os
import shutil
import sys
import tempfile

import numpy as np
import pytest

from advjax import records
from advjax.records import npz
from advjax.runtime.damage import Damaged
from tests.record_sets import (
    LABELS,
    REPRESENTATION,
    SIZES,
    example,
    examples,
    write,
)


def rewrite(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def header_of(folder):
    header = folder / "records.json"
    return header if header.is_file() else folder / "metadata.json"


@pytest.fixture
def older(copied):
    """Records as they were written before there were digests."""
    rewrite(header_of(copied), lambda header: header.pop("content"))
    (copied / "description.sha256").unlink()
    for path in copied.glob("*.digests"):
        path.unlink()
    return copied


def test_records_without_digests_are_read(older):
    assert records.recordings(older) is None
    assert records.info(older).labels == LABELS
    loaded = records.load(records.read(older, "train"))
    assert list(loaded["id"]) == [each["id"] for each in examples("train")]


def test_recordings_are_told_by_what_was_recorded_and_not_by_its_features(tmp_path):
    def digests(name, **changes):
        made = [example("train", index) for index in range(3)]
        made[1] |= changes
        write(tmp_path / name, {"train": made}, file_format="npz")
        return records.recordings(tmp_path / name)

    first = digests("a")
    assert set(first) == {"train"}
    assert digests("b") == first
    shape = REPRESENTATION.feature_shape
    assert digests("c", features=np.zeros(shape, np.float32)) == first
    for name, change in {
        "d": {"audio": np.zeros(1600, np.int16)},
        "e": {"label": 0},
        "f": {"speaker": "anna"},
        "g": {"id": "another"},
    }.items():
        assert digests(name, **change) != first


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["labels"].reverse(),
        lambda header: header["labels"].append("dora"),
        lambda header: header["metadata"].update(seed=4),
        lambda header: header["content"]["train"].update(file="0" * 64),
        lambda header: header["content"].pop("test"),
        lambda header: header["content"].update(train={}),
        lambda header: header["probe"].pop(),
        lambda header: header.update(labels=["a", "a", "b"]),
        lambda header: header.update(labels=[3, 4, 5]),
        lambda header: header.update(labels=[]),
        lambda header: header.update(name="../voices"),
        lambda header: header.update(metadata=None),
        lambda header: header.update(probe=["a"] * 16),
        lambda header: header.update(definition=[]),
        lambda header: header.pop("layout_version"),
        lambda header: header.update(layout_version=True),
    ],
)
def test_a_changed_description_is_named(copied, change):
    rewrite(header_of(copied), change)
    with pytest.raises(ValueError, match="build it again"):
        records.read(copied, "train")


@pytest.mark.parametrize(
    "definition",
    [
        {"name": "waveform"},
        {"name": "waveform", "source": None, "sample_rate_hz": "a", "num_samples": 9},
        {"name": "waveform", "source": 3, "sample_rate_hz": 1, "num_samples": -9},
        {"name": ["waveform"]},
        {},
    ],
)
def test_an_older_definition_of_anything_is_refused_in_words(older, definition):
    rewrite(header_of(older), lambda header: header.update(definition=definition))
    with pytest.raises(ValueError, match="build it again"):
        records.info(older)


def npz_only(folder):
    if not (folder / "records.json").is_file():
        pytest.skip("array_record shards have neither types nor shapes of their own")


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("audio", np.uint16),
        ("audio", np.int32),
        ("features", np.float64),
        ("features", ">f4"),
        ("label", np.int64),
        ("label", np.float32),
    ],
)
def test_arrays_of_another_type_are_refused(older, field, kind):
    npz_only(older)
    path = older / "train" / f"{field}.npy"
    np.save(path, np.load(path).astype(kind))
    with pytest.raises(Damaged, match=f"{field}.npy is damaged: it should hold"):
        records.read(older, "train")


@pytest.mark.parametrize(
    ("field", "change", "told"),
    [
        ("label", lambda a: a + 1, "label 3 is none of 0 to 2"),
        ("label", lambda a: a - 1, "label -1 is none of 0 to 2"),
        ("features", lambda a: a * np.float32(np.nan), "not finite"),
        ("audio", lambda a: a[:, :-1], "should hold int16 .7, 1600., and holds"),
        ("audio", lambda a: a[:-1], "should hold int16 .7, 1600., and holds"),
    ],
)
def test_values_that_no_record_has_are_refused(older, field, change, told):
    npz_only(older)
    path = older / "train" / f"{field}.npy"
    np.save(path, change(np.load(path)))
    with pytest.raises(Damaged, match=told):
        records.load(records.read(older, "train"))


@pytest.mark.parametrize(
    "change",
    [
        lambda index: index["id"].pop(),
        lambda index: index["id"].__setitem__(1, index["id"][0]),
        lambda index: index["id"].__setitem__(1, 5),
        lambda index: index["id"].__setitem__(1, "a\nb"),
        lambda index: index["id"].__setitem__(1, ""),
        lambda index: index.pop("speaker"),
        lambda index: index.update(speaker=None),
    ],
)
def test_ids_and_speakers_are_texts_of_their_own(older, change):
    npz_only(older)
    rewrite(older / "train" / "index.json", change)
    with pytest.raises(Damaged, match="build it again"):
        records.load(records.read(older, "train"))


def test_a_changed_value_of_the_right_kind_is_found_by_its_digest(copied):
    npz_only(copied)
    for field in ("audio", "features", "label"):
        path = copied / "train" / f"{field}.npy"
        before = path.read_bytes()
        array = np.load(path)
        array[4] = array[4][::-1] if array.ndim > 1 else (array[4] + 1) % 3
        np.save(path, array)
        source = records.read(copied, "train")
        assert source[3]["id"] == "train/ü-3@0"
        with pytest.raises(Damaged, match="record 4 of .* is not the record that was"):
            source[4]
        path.write_bytes(before)


def test_swapped_files_of_equal_size_are_found(tmp_path, file_format):
    for name in ("one", "three"):
        made = [example(name, index) for index in range(3)]
        write(tmp_path / name, {"train": made}, file_format=file_format)
    for path in sorted((tmp_path / "one").rglob("*")):
        if path.is_file() and path.suffix not in (".json", ".digests", ".sha256"):
            shutil.copy(tmp_path / "three" / path.relative_to(tmp_path / "one"), path)
    with pytest.raises(Damaged, match="record 0 .* not the record"):
        records.read(tmp_path / "one", "train")[0]


@pytest.mark.parametrize("damage", ["removed", "cut", "changed"])
def test_damaged_digests_are_named(copied, damage):
    path = copied / "train.digests"
    content = bytearray(path.read_bytes())
    if damage == "removed":
        path.unlink()
    else:
        content[3] ^= 1
        path.write_bytes(content[:-1] if damage == "cut" else content)
    with pytest.raises(Damaged, match="train.digests.*build it again"):
        records.read(copied, "train")


def test_no_module_that_a_file_names_is_imported(older, monkeypatch):
    path = older / "features.json"
    if not path.is_file():
        pytest.skip("npz names no classes")
    (older / "intruder.py").write_text("import os; os.environ['INTRUDED'] = '1'")
    monkeypatch.syspath_prepend(str(older))
    monkeypatch.delenv("INTRUDED", raising=False)
    written = path.read_text()
    core = "tensorflow_datasets.core.features"
    for name in ("text_feature.Text", "tensor_feature.Tensor", "features_dict.Featu"):
        path.write_text(written.replace(f"{core}.{name}", f"intruder.{name}"))
        with pytest.raises(Damaged, match="pythonClassName should be .* not 'intruder"):
            records.read(older, "train")
    for old, new in [
        ('"int16"', '"uint16"'),
        ('"float32"', '"float64"'),
        ('"1600"', '"800"'),
        ('"3"', '"4"'),
        ('"encoding": "bytes"', '"encoding": "zlib"'),
        ('"id"', '"identity"'),
        ('"text": {}', '"text": {"a": 1}'),
    ]:
        assert old in written
        path.write_text(written.replace(old, new))
        with pytest.raises(Damaged, match=r"features\.json is damaged"):
            records.read(older, "train")
    assert "INTRUDED" not in os.environ
    assert "intruder" not in sys.modules


@pytest.mark.parametrize(
    "change",
    [
        lambda described: described.update(name="../../elsewhere/voices"),
        lambda described: described["splits"][0].update(name="../train"),
        lambda described: described["splits"][0].update(shardLengths=["8"]),
        lambda described: described["splits"][0].update(shardLengths=["4", "3"]),
        lambda described: described["splits"][0].update(shardLengths=["-7"]),
        lambda described: described["splits"][0].update(shardLengths=[]),
        lambda described: described["splits"].append(described["splits"][0]),
        lambda described: described.update(splits=7),
        lambda described: described.update(fileFormat="tfrecord"),
        lambda described: described.pop("splits"),
    ],
)
def test_a_damaged_description_of_tfds_is_refused(older, change):
    path = older / "dataset_info.json"
    if not path.is_file():
        pytest.skip("npz has another description")
    rewrite(path, change)
    with pytest.raises(ValueError, match="build it again"):
        list(records.read(older, "train"))


def test_shards_that_were_swapped_or_removed_are_named(older):
    shards = [older / f"voices-{s}.array_record-00000-of-00001" for s in SIZES]
    if not shards[0].is_file():
        pytest.skip("npz has no shards")
    kept = [shard.read_bytes() for shard in shards]
    for shard, content in zip(shards, kept[::-1], strict=True):
        shard.write_bytes(content)
    with pytest.raises(Damaged, match="should hold 7 records, and holds 4"):
        records.read(older, "train")
    shards[0].unlink()
    with pytest.raises(Damaged, match="00000-of-00001 cannot be opened"):
        records.read(older, "train")


@pytest.mark.parametrize("name", ["x[1]", "back\\slash", "gs:", "new\nline", "\udcff"])
def test_records_lie_in_folders_of_any_name(tmp_path, file_format, name, monkeypatch):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    folder = tmp_path / name / "set"
    write(folder, file_format=file_format)
    source = records.read(folder, "train")
    assert [each["id"] for each in source] == [each["id"] for each in examples("train")]
    del source
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_a_full_disk_is_told_in_one_line(tmp_path, file_format, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("RESOURCE_EXHAUSTED: No space left on device; at byte 0")

    if file_format == "npz":
        monkeypatch.setattr(npz._Column, "append", full)
    else:
        module = pytest.importorskip("array_record.python.array_record_module")
        monkeypatch.setattr(module, "ArrayRecordWriter", full)
    with pytest.raises(OSError, match="no room on the disk .* make room") as caught:
        write(tmp_path / "set", file_format=file_format)
    assert caught.value.errno == errno.ENOSPC
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_build_leaves_nothing_in_the_temporary_folder(
    tmp_path, file_format, monkeypatch
):
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    write(tmp_path / "set", file_format=file_format)
    records.load(records.read(tmp_path / "set", "train"))
    assert list((tmp_path / "temporary").iterdir()) == []
