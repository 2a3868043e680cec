"""Certification by several real processes, one of which may be killed."""

import os
import pathlib
import socket
import subprocess
import sys
import time

import jax
import pytest
from absl.testing import flagsaver

from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES
from advjax.runs.rows import shard_name, shards
from experiments import certify

ROOT = pathlib.Path(__file__).parents[2]
GIVEN = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "rescnn(width=1, embedding_size=8)",
    "num_steps": 2,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 300,
    "num_points": 10,
    "alpha": 0.01,
}
TIMEOUT_S = 400  # on a machine that is busy with other things


pytestmark = pytest.mark.usefixtures("need_array_record")


@pytest.fixture(scope="module", autouse=True)
def quick_programs():
    """Hardly optimised, here and in the processes: compiling is most of the work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
        before = jax.config.read("jax_disable_most_optimizations")
        jax.config.update("jax_disable_most_optimizations", True)
        yield
        jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A home with a run that one process made without a break."""
    home = tmp_path_factory.mktemp("whole")
    certify_alone(home)
    return home


def certify_alone(home, **given):
    with flagsaver.flagsaver(home=str(home), **GIVEN, **given):
        certify.main()


@pytest.fixture
def home(whole, tmp_path):
    """A home with the records and the classifier of `whole`, and no run."""
    for made in ("records", "classifiers"):
        (tmp_path / made).symlink_to(whole / made)
    return tmp_path


def start(home, index, count, port, *, devices=1, **given):
    given = {**GIVEN, "home": home, **given} | (
        {"coordinator": f"127.0.0.1:{port}", "num_processes": count}
        | {"process_id": index}
        if count > 1
        else {}
    )
    force = f"--xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.certify"]
        + [f"--{name}={value}" for name, value in given.items()],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": force},
        stdout=subprocess.PIPE,
        stderr=(home / f"log-{index}-of-{count}").open("w"),
        text=True,
    )


def start_all(home, count, **given):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        start(home, index, count, port, devices=1 + index % 2, **given)
        for index in range(count)
    ]


def finish(processes):
    """What each printed, in order."""
    try:
        printed = [process.communicate(timeout=TIMEOUT_S)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * len(processes)
    return printed


def log(home, index, count):
    return (home / f"log-{index}-of-{count}").read_text()


def run_folder(home):
    (folder,) = (home / "certify").iterdir()
    return folder


def results(home):
    """The rows of all files of the run, each without its time."""
    lines = []
    for path in shards(run_folder(home)):
        lines += path.read_text().splitlines()[1:]
    cells = sorted((line.split("\t") for line in lines), key=lambda row: int(row[0]))
    return [row[:5] + row[6:] for row in cells]


def wait_for_row(home, name, process):
    for _ in range(20 * TIMEOUT_S):
        assert process.poll() is None, "it ended before it could be killed"
        found = list(home.glob(f"certify/*/{name}"))
        if found and found[0].read_text().count("\n") > 1:
            return
        time.sleep(0.05)
    raise AssertionError(f"no row in {name}")


def kill_one_of_two(home):
    """Ends with process 0's rows whole and process 1's cut off."""
    first, second = start_all(home, 2)
    try:
        wait_for_row(home, "rows-1-of-2.tsv", second)
    finally:
        second.kill()
        second.communicate()
    finish([first])


@pytest.mark.slow
def test_one_goes_on_where_one_of_two_was_killed(whole, home):
    kill_one_of_two(home)
    left = "are left to the other processes"
    assert left in log(home, 0, 2)
    alone = CERTIFICATES.read(run_folder(home) / "rows-0-of-2.tsv")
    assert list(alone.idx) == list(CERTIFICATES.read(run_folder(whole)).idx[::2])
    assert not (run_folder(home) / "report.md").exists()
    before = len(results(home))
    assert 5 < before < 10
    certify_alone(home)
    assert results(home) == results(whole)
    files = {path.name for path in shards(run_folder(home))}
    assert files == {"rows.tsv", "rows-0-of-2.tsv", "rows-1-of-2.tsv"}
    assert len(CERTIFICATES.read(run_folder(home) / "rows.tsv")) == 10 - before
    reports = [(run_folder(h) / "report.md").read_text() for h in (home, whole)]
    # Commands, dates and durations differ.
    tables = [text.partition("## Accuracy at each radius")[2] for text in reports]
    assert tables[0] == tables[1] != ""


@pytest.mark.slow
def test_rows_do_not_depend_on_the_number_of_processes(whole, home):
    printed = finish(start_all(home, 2))
    assert results(home) == results(whole)
    files = {path.name for path in shards(run_folder(home))}
    assert files == {"rows-0-of-2.tsv", "rows-1-of-2.tsv"}
    assert runs.description(run_folder(home))["environment"]["processes"] == 2
    # Whoever comes last prints the table, and no process prints anything else.
    assert sum("r=0.25" in text for text in printed) >= 1
    assert {text.split()[0] for text in printed if text} == {"run"}
    for index in range(2):
        assert f"certify, process {index} of 2: 5 clips" in log(home, index, 2)


@pytest.mark.slow
def test_sequential_rows_do_not_depend_on_the_number_of_processes(home):
    alone = home / "alone"
    certify_alone(home, bound="sequential", workdir=str(alone))
    printed = finish(start_all(home, 2, bound="sequential"))
    assert any("times fewer than n=300" in text for text in printed)
    found, expected = (
        CERTIFICATES.read(run_folder(home)),
        CERTIFICATES.read(alone),
    )
    assert len(set(expected.n.tolist())) > 1
    for column in ("id", "predict", "radius", "votes", "n"):
        assert list(getattr(found, column)) == list(getattr(expected, column))


@pytest.mark.slow
def test_three_go_on_where_one_of_two_was_killed(whole, home):
    kill_one_of_two(home)
    before = len(results(home))
    finish(start_all(home, 3))
    assert results(home) == results(whole)
    shares = [
        len(CERTIFICATES.read(run_folder(home) / shard_name(index, 3)))
        for index in range(3)
    ]
    assert sum(shares) == 10 - before and max(shares) - min(shares) <= 1


@pytest.mark.slow
def test_other_settings_end_both_processes_with_a_message(whole, home):
    certify_alone(home)
    processes = start_all(home, 2, workdir=run_folder(home), seed=1, classifier="none")
    began = time.monotonic()
    for process in processes:
        process.communicate(timeout=TIMEOUT_S)
    assert [process.returncode for process in processes] == [1, 1]
    assert time.monotonic() - began < 100, "it waited for a time-out"
    assert "error: no classifier in none" in log(home, 0, 2)
