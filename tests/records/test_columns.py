import threading

import numpy as np
import pytest

from advjax import records
from data_prep.verify import verify
from tests.record_sets import (
    REPRESENTATION,
    SIZES,
    example,
    examples,
    write,
)

AUDIO = ("id", "audio", "label", "speaker")


def without_features(folder, file_format):
    write(folder, file_format=file_format, features=False)
    return folder


def test_records_without_features_hold_all_the_rest(tmp_path, file_format):
    folder = without_features(tmp_path, file_format)
    info = records.info(folder, expect=REPRESENTATION)
    assert (info.fields, info.splits) == (AUDIO, SIZES)
    source = records.read(folder, "train")
    for got, wanted in zip(source, examples("train"), strict=True):
        assert set(got) == set(AUDIO)
        np.testing.assert_array_equal(got["audio"], wanted["audio"])
        assert got["label"] == wanted["label"]
    assert set(records.load(source)) == set(AUDIO)
    with pytest.raises(ValueError, match="no field features; there are id, audio"):
        records.load(source, fields=("features",))


def test_records_without_features_are_verified(tmp_path):
    found = verify(without_features(tmp_path, "npz"))
    assert (found.num_records, found.num_recomputed, found.worst) == (11, 11, 0)
    assert found.problems == ()


def test_records_without_features_are_checked_when_they_are_read(tmp_path):
    folder = without_features(tmp_path, "npz")
    (path,) = folder.rglob("train/audio.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    column = records.Column(records.read(folder, "train"), "audio")
    assert len(column[np.asarray([0, 5])]) == 2
    with pytest.raises(ValueError, match="record 6 of .* is damaged"):
        column[np.asarray([0, 6])]


def test_a_column_reads_the_rows_that_are_asked_for(tmp_path, file_format):
    write(tmp_path, file_format=file_format)
    source = records.read(tmp_path, "train")
    for field in ("audio", "features"):
        column = records.Column(source, field)
        whole = np.stack([each[field] for each in examples("train")])
        assert (column.shape, column.dtype) == (whole.shape, whole.dtype)
        assert (len(column), column.nbytes) == (7, whole.nbytes)
        np.testing.assert_array_equal(column[np.asarray([6, 0, 6])], whole[[6, 0, 6]])
        np.testing.assert_array_equal(np.asarray(column), whole)


def test_a_column_may_be_read_by_several_threads(tmp_path, file_format):
    write(tmp_path, {"train": [example("train", i) for i in range(30)]},
          file_format=file_format)  # fmt: skip
    column = records.Column(records.read(tmp_path, "train"), "audio")
    found, rows = {}, np.arange(30)

    def read(name):
        found[name] = column[rows]

    threads = [threading.Thread(target=read, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    whole = np.stack([example("train", i)["audio"] for i in range(30)])
    for name in range(4):
        np.testing.assert_array_equal(found[name], whole)
