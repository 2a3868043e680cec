"""Where sets of records lie, and that TFDS finds them there by name."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

import numpy as np
import pytest

from advjax import records
from advjax.records.header import NAME
from advjax.representations import REPRESENTATIONS
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

OPENED_BY_NAME = """
import json, sys
sys.modules["advjax"] = sys.modules["jax"] = None  # an import of these fails
import tensorflow_datasets as tfds

builder = tfds.builder("voices/mfbe", data_dir=sys.argv[1])
source = tfds.data_source("voices/mfbe", data_dir=sys.argv[1])
row, info = source["train"][2], builder.info
assert "tensorflow" not in sys.modules
print(json.dumps([
    row["id"].decode(), int(row["label"]), row["audio"].tolist(),
    row["features"].tolist(), {name: len(rows) for name, rows in source.items()},
    info.metadata["definition"]["name"], len(info.metadata["probe"]),
    info.full_name, info.features["label"].names, list(info.supervised_keys),
    "mfbe" in info.description,
]))
"""


@pytest.mark.slow
def test_tfds_opens_records_by_name_without_this_package(tmp_path):
    skip_without_writer("array_record")
    write(tmp_path / "sets", file_format="array_record")
    ran = subprocess.run(
        [sys.executable, "-c", OPENED_BY_NAME, str(tmp_path / "sets")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    wanted = examples("train")[2]
    assert json.loads(ran.stdout) == [
        wanted["id"],
        wanted["label"],
        wanted["audio"].tolist(),
        wanted["features"].tolist(),
        SIZES,
        "mfbe",
        16,
        SET,
        list(LABELS),
        ["features", "label"],
        True,
    ]


def test_a_folder_holds_sets_by_name_representation_and_version(tmp_path, file_format):
    folder = tmp_path / "sets"
    write(folder, file_format=file_format)
    magnitude = REPRESENTATION.source
    shape = magnitude.feature_shape
    made = [example("train", 0, features=np.ones(shape, np.float32))]
    info = write(folder, {"train": made}, name="other", representation=magnitude)
    assert info.splits == {"train": 1}
    assert [path.name for path in folder.iterdir() if path.name[0] == "."] == []
    assert [path.relative_to(folder).as_posix() for path in records.sets(folder)] == [
        "other/magnitude/1.0.0",
        SET,
    ]
    assert records.place(folder, "voices", REPRESENTATION) == folder / SET
    assert records.info(folder / "voices").labels == LABELS
    assert records.info(folder / "other" / "magnitude").name == "other"
    listed = "other/magnitude/1.0.0, voices/mfbe/1.0.0. Give the folder of one"
    with pytest.raises(ValueError, match=listed):
        records.info(folder)
    with pytest.raises(FileExistsError, match=f"{SET} is there already: delete it"):
        write(folder, file_format=file_format)


def test_a_set_of_an_earlier_version_lies_in_its_folder_itself(tmp_path, file_format):
    write(tmp_path / "new", file_format=file_format)
    old = pathlib.Path(shutil.copytree(tmp_path / "new" / SET, tmp_path / "old"))
    assert records.info(old) == records.info(tmp_path / "new")
    assert records.read(old, "test")[1]["id"] == "test/ü-1@0"
    with pytest.raises(FileExistsError, match="is a set of records itself"):
        write(old, name="other")
    assert not (old / "other").exists()


def test_every_representation_has_a_name_that_tfds_takes_for_a_config():
    for name in REPRESENTATIONS:
        assert re.fullmatch(NAME, name)
