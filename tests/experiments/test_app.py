import os
import pathlib
import shutil
import subprocess

import pytest

import advjax
from advjax.runtime import targets
from experiments import app, requests

NO_CHECKOUT = f"advjax {advjax.__version__}, no checkout"


def git(folder, *arguments):
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
    identity = ["-c", "user.name=x", "-c", "user.email=a@b"]
    return subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        check=True,
        capture_output=True,
        text=True,
        env=clean,
    ).stdout.strip()


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A repository of somebody else, with this module installed in it or as its own."""
    git(tmp_path, "init", "-q")
    (tmp_path / "thesis.tex").write_text("x")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "somebody's thesis")

    def put(folder):
        file = tmp_path / folder / "experiments" / "app.py"
        file.parent.mkdir(parents=True)
        shutil.copy(app.__file__, file)
        monkeypatch.setattr(app, "__file__", str(file))
        return file

    return put


@pytest.mark.parametrize("tracked", [False, True])
def test_a_repository_around_the_package_says_nothing(house, tmp_path, tracked):
    house(".venv/lib/site-packages")
    if tracked:
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-qm", "and its environment")
    assert app.revision() == NO_CHECKOUT


def test_a_file_that_is_not_tracked_has_no_commit(house):
    house(".")
    assert app.revision() == NO_CHECKOUT


@pytest.mark.parametrize("variable", ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"])
def test_a_checkout_is_named_whatever_the_environment_says(
    house, tmp_path, monkeypatch, variable
):
    house(".")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "ours")
    commit = git(tmp_path, "rev-parse", "--short", "HEAD")
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    monkeypatch.setenv(variable, str(other / ".git"))
    assert app.revision() == commit
    (tmp_path / "thesis.tex").write_text("changed")
    assert app.revision() == f"{commit}-dirty"


def test_no_git_is_no_failure(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    assert app.revision() == NO_CHECKOUT


def test_a_task_s_folders_do_not_depend_on_where_it_goes_on(tmp_path, monkeypatch):
    from absl import flags
    from absl.testing import flagsaver

    flags.FLAGS.mark_as_parsed()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    given = {"corpus_dir": "~/audio/", "records": "r", "classifier": "./c"}
    with flagsaver.flagsaver(home="runs", **given):
        task = requests.task()
    assert task.home == tmp_path / "runs"
    assert pathlib.Path(task.corpus_dir) == tmp_path / "me" / "audio"
    assert task.records_folder == str(tmp_path / "r")
    assert task.classifier_folder == str(tmp_path / "c")


def test_environment_names_versions_and_device():
    found = app.environment()
    assert found["versions"]["jax"]
    assert "cpu" in found["device"].lower() or found["device"]
    assert found["processor"] and found["instruction_set"]
    with targets.choosing_processor("avx2"):
        assert app.environment()["convolutions"] == (
            "avx2" if targets.on_cpu() else None
        )
