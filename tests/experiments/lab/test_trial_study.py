"""A study as a user writes it, killed in its second cell, in real processes."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parents[2]
COMMAND = [
    sys.executable,
    HERE / "trial_study.py",
    "--corpus=voices(num_speakers=2, minutes_per_speaker=0.5)",
    "--model=rescnn(width=1, embedding_size=8)",
    "--num_steps=30",
    "--batch_size=16",
]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}


def run(home, *more):
    return subprocess.run(
        [*COMMAND, f"--home={home}", *more],
        cwd=ROOT,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
        timeout=600,
    )


def rows(home):
    """The rows of both cells, without the time that each took."""
    found = {}
    for file in sorted(home.glob("studies/trainings/cells/*/rows.tsv")):
        lines = [line.split("\t") for line in file.read_text().splitlines()]
        found[file.parent.name] = [line[:5] + line[6:] for line in lines]
    return found


def test_a_study_takes_at_most_60_lines():
    assert len((HERE / "trial_study.py").read_text().splitlines()) <= 60


@pytest.mark.slow
def test_a_killed_study_goes_on_and_ends_as_a_whole_one(tmp_path):
    pytest.importorskip("array_record.python.array_record_data_source")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    output = run(whole)
    assert "cell        2 of 2: gaussian" in output.stderr
    process = subprocess.Popen(
        [*COMMAND, f"--home={killed}"], cwd=ROOT, env=ENVIRONMENT
    )
    try:
        for _ in range(6000):
            assert process.poll() is None, "it ended before it could be killed"
            if len(rows(killed).get("gaussian", [])) > 3:
                break
            time.sleep(0.02)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    assert "plain" in (killed / "studies/trainings/study.md").read_text()
    planned = run(killed, "--dry_run")
    assert "1 of 2 cells to run" in planned.stdout
    again = run(killed)
    assert "1 of 2 cells to run" in again.stderr
    assert rows(killed) == rows(whole)
    assert again.stdout == output.stdout
    begun = os.times()
    done = run(killed)
    ended = os.times()
    assert "0 of 2 cells to run" in done.stderr and done.stdout == output.stdout
    assert "records   " not in done.stderr and "classifier" not in done.stderr
    # Its own time, whatever else runs on the machine.
    assert sum(ended[2:4]) - sum(begun[2:4]) < 10
