"""Parsed flags, and what several files would each build and train anew."""

import contextlib
import pathlib
import subprocess
import sys

import pytest
from absl import flags

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="session", autouse=True)
def parsed_flags():
    # It defines flags when imported, which flagsaver would take away again.
    with contextlib.suppress(ImportError):
        import array_record.python.array_record_data_source  # noqa: F401
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(sys.argv[:1])


@pytest.fixture(scope="session")
def need_array_record(parsed_flags):
    """Skips tests that write records where the package is missing."""
    pytest.importorskip("array_record.python.array_record_data_source")


@pytest.fixture(scope="session")
def made(tmp_path_factory, worker_id, need_array_record):
    """Folder of the records and classifiers that every worker shares.

    Equal settings find what is there, and one who builds holds a lock, so whoever
    comes first makes it.
    """
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "made"
    for name in ("records", "classifiers"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def new_home(tmp_path_factory, made):
    """Function that makes a home without runs; `shared` names what it need not make."""

    def new(*shared):
        home = tmp_path_factory.mktemp("home")
        for name in shared or ("records", "classifiers"):
            (home / name).symlink_to(made / name)
        return home

    return new


@pytest.fixture
def start():
    """Function that runs a program in a process of its own; returns its output."""

    def run(program, *arguments):
        done = subprocess.run(
            [sys.executable, "-m", f"experiments.{program}", *arguments],
            cwd=ROOT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    return run
