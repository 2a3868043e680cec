import json
import os
import pathlib

import pytest

from advjax.runs import folder as runs
from advjax.runs.descriptions import kind_of
from advjax.runs.folder import check_run_folder
from advjax.runs.row_types import ATTACK_ROWS, CERTIFICATES, SMOOTHED_ATTACKS

SETTINGS = {"noise_enters_at": "mfbe", "seed": 0}
RESULTS = pathlib.Path(__file__).parents[2] / "experiments" / "results"
NEITHER = [
    {"report.md": "# My own thoughts\n"},
    {"notes": "", "curve.png": "a picture"},
    {"run.json": '{"settings": {"speed": "fast"}, "name": "another program"}'},
    {"run.json": '{"settings": {}, "environment": {}}'},  # no rows beside it
    {"run.json": "[1, 2]"},
    {"run.json": "{"},
    {"run.json": ""},
    {"rows.tsv": "a table\nof mine\n"},
    {"rows-of-mine.tsv": ""},
    {"sub/report.md": ""},
]


def contents(folder) -> dict[str, bytes]:
    files = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def start(folder, schema=CERTIFICATES):
    return runs.open_run(folder, settings=SETTINGS, environment={}, schema=schema)


@pytest.mark.parametrize("files", NEITHER, ids=lambda files: " ".join(files))
def test_a_folder_of_other_files_is_refused_and_left_alone(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    before = contents(tmp_path)
    with pytest.raises(ValueError, match=f"--workdir={tmp_path} |{tmp_path}/r"):
        check_run_folder(tmp_path, CERTIFICATES, argument="--workdir")
    with pytest.raises(ValueError):
        start(tmp_path)
    assert contents(tmp_path) == before


def test_a_new_an_empty_and_its_own_folder_are_welcome(tmp_path):
    for folder in (tmp_path / "a" / "b", tmp_path):
        check_run_folder(folder, CERTIFICATES)
    assert not contents(tmp_path) and not (tmp_path / "a").exists()
    start(tmp_path).close()
    (tmp_path / "report.md").write_text("of the run")
    check_run_folder(tmp_path, CERTIFICATES)
    start(tmp_path).close()


def test_a_start_that_was_killed_at_once_and_one_beside_ours_are_welcome(tmp_path):
    (tmp_path / "rows.tsv").touch()
    (tmp_path / "rows-1-of-2.tsv").touch()
    (tmp_path / ".123@host.run.json").write_text("{")
    start(tmp_path).close()


def test_a_home_may_be_the_folder_of_a_run(tmp_path):
    for name in ("records", "classifiers", "compiled"):
        (tmp_path / name).mkdir()
    start(tmp_path).close()


@pytest.mark.parametrize("told", [True, False], ids=["kind", "earlier version"])
def test_a_run_of_another_kind_is_refused(tmp_path, told):
    start(tmp_path).close()
    path = tmp_path / "run.json"
    found = json.loads(path.read_text())
    assert found["kind"] == "certify" == kind_of(found)
    if not told:
        del found["kind"]
        path.write_text(json.dumps(found))
    before = contents(tmp_path)
    for other in (ATTACK_ROWS, SMOOTHED_ATTACKS):
        with pytest.raises(ValueError, match="holds a run of certify, not of "):
            start(tmp_path, other)
    assert contents(tmp_path) == before
    start(tmp_path).close()


def test_a_file_and_what_cannot_be_a_folder_are_refused(tmp_path):
    file, loop = tmp_path / "file", tmp_path / "loop"
    file.write_text("mine")
    loop.symlink_to(loop)
    for path in (file, file / "inside", loop):
        with pytest.raises(OSError, match=f"--workdir={path}") as caught:
            check_run_folder(path, CERTIFICATES, argument="--workdir")
        assert "folder" in str(caught.value)
    assert contents(tmp_path) == {"file": b"mine"}


@pytest.mark.parametrize("mode", [0o000, 0o500, 0o300])
def test_a_folder_that_cannot_be_read_or_written_is_refused(
    tmp_path, mode, monkeypatch
):
    folder = tmp_path / "locked"
    folder.mkdir()
    folder.chmod(mode)
    if os.access(folder, os.R_OK | os.W_OK | os.X_OK):  # as root all is allowed
        monkeypatch.setattr(os, "access", lambda path, asked: False)
    for path in (folder, folder / "new"):
        with pytest.raises(PermissionError, match=f"--workdir={path} cannot be read"):
            check_run_folder(path, CERTIFICATES, argument="--workdir")
    folder.chmod(0o700)


def test_the_kinds_of_committed_runs_are_known():
    for path in sorted(RESULTS.rglob("run.json"))[::10]:
        header = (path.parent / "rows.tsv").read_bytes().split(b"\n")[0] + b"\n"
        kinds = {
            CERTIFICATES.header: "certify",
            **{ATTACK_ROWS.without(n).header: "attack" for n in range(3)},
        }
        kind = kinds.get(header, "smoothed_attacks" if b"clip" in header else "certify")
        assert kind_of(runs.description(path.parent)) == kind
