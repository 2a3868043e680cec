import os
import pathlib
import socket
import subprocess
import sys
from contextlib import nullcontext

import pytest

from advjax.runtime.atomic import new_file, new_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_nothing_shows_before_the_end(tmp_path):
    target = tmp_path / "deep" / "set"
    with new_folder(target) as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "a").write_text("1")
        assert not target.exists()
        assert partial.parent == target.parent  # one file system: a rename is one step
    assert (target / "inner" / "a").read_text() == "1"
    assert names(target.parent) == ["set"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_nothing(tmp_path, error):
    with pytest.raises(error), new_folder(tmp_path / "set") as partial:
        (partial / "a").write_text("1")
        raise error
    assert names(tmp_path) == []


def test_what_is_there_is_never_replaced(tmp_path):
    (tmp_path / "empty").mkdir()
    with new_folder(tmp_path / "empty") as partial:
        (partial / "a").write_text("1")
    with (
        pytest.raises(FileExistsError, match="delete it"),
        new_folder(tmp_path / "empty"),
    ):
        pytest.fail("entered")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError), new_folder(tmp_path / "file"):
        pytest.fail("entered")
    with (
        pytest.raises(FileExistsError, match="appeared"),
        new_folder(tmp_path / "race") as partial,
    ):
        (partial / "a").write_text("late")
        (tmp_path / "race").mkdir()
        (tmp_path / "race" / "a").write_text("first")
    assert (tmp_path / "race" / "a").read_text() == "first"
    assert names(tmp_path) == ["empty", "file", "race"]


def test_a_killed_build_leaves_nothing_that_reads_as_complete(tmp_path):
    target = tmp_path / "set"
    program = (
        "import os, signal, sys\n"
        "from advjax.runtime.atomic import new_folder\n"
        "with new_folder(sys.argv[1]) as partial:\n"
        "    (partial / 'a').write_text('1')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = pathlib.Path(__file__).parents[2]
    killed = subprocess.run([sys.executable, "-c", program, str(target)], cwd=root)
    assert killed.returncode < 0
    assert not target.exists()
    assert len(names(tmp_path)) == 1 and names(tmp_path)[0].startswith(".set.partial-")

    machine = socket.gethostname()
    living = tmp_path / f".set.partial-{os.getppid()}@{machine}"
    elsewhere = tmp_path / ".set.partial-999999999@elsewhere.not"
    other = tmp_path / f".other.partial-999999999@{machine}"
    for path in (living, elsewhere, other):
        path.mkdir()
    with new_folder(target) as partial:
        (partial / "a").write_text("2")
    assert names(tmp_path) == sorted([living.name, elsewhere.name, other.name, "set"])


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path):
    path = tmp_path / "report.md"
    path.write_text("old")
    with pytest.raises(RuntimeError), new_file(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    with new_file(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_is_there_may_be_kept(tmp_path, monkeypatch, links):
    def none(*names):
        raise PermissionError("this file system has no links")

    if not links:
        monkeypatch.setattr("os.link", none)
    path = tmp_path / "run.json"
    for text in ("first", "second"):
        kept = pytest.raises(FileExistsError) if text == "second" else nullcontext()
        with kept, new_file(path, replace=False) as aside:
            aside.write_text(text)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]
