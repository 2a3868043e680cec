"""Certification by processes with a core each: whole runs, and their ends."""

import functools
import importlib.util
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
FLAGS = [
    "--corpus=voices(num_speakers=2, minutes_per_speaker=0.5)",
    "--model=rescnn(width=1, embedding_size=8)",
    "--num_steps=20",
    "--batch_size=16",
    "--num_selection=10",
    "--num_points=6",
    "--alpha=0.01",
]
# Two processes whatever the machine and the time that they save.
SHARED = """
import runpy, sys
from advjax.runtime import parallel
from experiments.lab import vote_placement
parallel.num_cores = lambda: 2
vote_placement.REPAID_S = dict.fromkeys(vote_placement.REPAID_S, 0)
runpy.run_module("experiments.certify", run_name="__main__", alter_sys=True)
"""
ALONE = SHARED.replace("REPAID_S, 0", "REPAID_S, 1e9")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are Linux's"),
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A home with records and a classifier."""
    home = tmp_path_factory.mktemp("home")
    subprocess.run(command(ALONE, home, home / "first", 20), cwd=ROOT, check=True)
    return home


def command(program, home, workdir, votes, *more):
    flags = [*FLAGS, f"--num_estimation={votes}", f"--home={home}", *more]
    return [sys.executable, "-c", program, *flags, f"--workdir={workdir}"]


def finish(program, *arguments):
    done = subprocess.run(
        command(program, *arguments), cwd=ROOT, check=True, capture_output=True
    )
    return done.stdout.decode(), done.stderr.decode()


def table(workdir):
    """The rows without their time."""
    path = workdir / "rows.tsv"
    lines = path.read_text().splitlines() if path.exists() else []
    return sorted(tuple(line.split("\t")[:5] + line.split("\t")[6:]) for line in lines)


SEQUENTIAL = ["--bound=sequential", "--radii=0.05,0.2"]
OPENVINO = pytest.param(
    ["--engine=openvino"],
    marks=pytest.mark.skipif(
        importlib.util.find_spec("openvino") is None, reason="OpenVINO is missing"
    ),
    id="openvino",
)


@pytest.mark.parametrize("more", [[], SEQUENTIAL, OPENVINO])
def test_rows_are_those_of_one_process(home, tmp_path, more):
    out, errors = finish(SHARED, home, tmp_path / "shared", 300, *more)
    assert "workers     2 processes, 1 core each" in errors
    assert "smoothed" in out and "workers" not in out
    _, errors = finish(ALONE, home, tmp_path / "alone", 300, *more)
    assert "workers" not in errors
    assert table(tmp_path / "shared") == table(tmp_path / "alone")


@pytest.fixture(scope="module")
def whole(home):
    """Function that gives the rows of a run without an end in its middle."""

    @functools.cache
    def rows(*more):
        folder = home / f"whole{len(more)}"
        finish(ALONE, home, folder, 2_000, *more)
        return table(folder)

    return rows


def children(process):
    listed = pathlib.Path(f"/proc/{process}/task/{process}/children").read_text()
    return [int(each) for each in listed.split()]


def wait_until(happened, what):
    for _ in range(1200):
        if happened():
            return
        time.sleep(0.1)
    raise AssertionError(f"never: {what}")


def is_alive(process):
    return pathlib.Path(f"/proc/{process}").exists()


def start(*arguments):
    return subprocess.Popen(
        ["env", "--default-signal=INT", *command(SHARED, *arguments)],
        cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def test_a_killed_process_ends_the_program_in_one_line(home, tmp_path):
    process = start(home, tmp_path / "run", 2_000)
    try:
        wait_until(
            lambda: process.poll() is not None or table(tmp_path / "run")[1:], "a row"
        )
        found = children(process.pid)
        os.kill(found[1], signal.SIGKILL)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 1, errors
    *_, last = errors.splitlines()
    assert "one of 2 processes that count votes was ended by signal 9" in last, errors
    assert last.endswith("the same command continues."), errors
    assert "Traceback" not in errors
    assert not any(map(is_alive, found))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_a_program_that_starts_them(home, tmp_path, number):
    process = start(home, tmp_path / "run", 2_000)
    try:
        wait_until(lambda: len(children(process.pid)) == 2, "processes")
        found = children(process.pid)
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    wait_until(lambda: not any(map(is_alive, found)), "the end of the processes")
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number, errors
        assert "Traceback" not in errors


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("more", [[], OPENVINO])
def test_no_process_outlives_the_program_and_the_command_continues(
    home, whole, tmp_path, number, more
):
    arguments = home, tmp_path / "run", 2_000, *more
    process = start(*arguments)
    try:
        wait_until(
            lambda: process.poll() is not None or len(table(tmp_path / "run")) > 1,
            "rows",
        )
        found = children(process.pid)
        assert len(found) == 2, found
        os.killpg(process.pid, number)
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    wait_until(lambda: not any(map(is_alive, found)), "the end of the processes")
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number, errors
        assert errors.splitlines()[-1].startswith("interrupted: "), errors
        assert "Traceback" not in errors
    finish(SHARED, *arguments)
    assert table(tmp_path / "run") == whole(*more)
