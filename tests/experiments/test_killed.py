"""`kill -9` in the middle of training and of certifying, in real processes."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = [
    sys.executable,
    "-m",
    "experiments.certify",
    "--corpus=voices(num_speakers=2, minutes_per_speaker=0.5)",
    "--model=rescnn(width=1, embedding_size=8)",
    "--num_steps=120",
    "--batch_size=16",
    "--num_selection=10",
    "--num_estimation=200",
    "--num_points=20",
    "--alpha=0.01",
]


def run(home):
    subprocess.run([*COMMAND, f"--home={home}"], cwd=ROOT, check=True, timeout=600)


def run_and_kill_when(home, happened):
    process = subprocess.Popen([*COMMAND, f"--home={home}"], cwd=ROOT)
    try:
        for _ in range(6000):
            assert process.poll() is None, "it ended before it could be killed"
            if happened():
                break
            time.sleep(0.05)
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.wait()


def results(home):
    (rows,) = pathlib.Path(home).glob("certify/*/rows.tsv")
    lines = [line.split("\t") for line in rows.read_text().splitlines()]
    return [line[:5] + line[6:] for line in lines]


def weights(home):
    from advjax import checkpoint

    (folder,) = pathlib.Path(home).glob("classifiers/*")
    return checkpoint.load(folder).variables


@pytest.mark.slow
def test_killed_runs_end_with_the_weights_and_rows_of_whole_ones(tmp_path):
    import jax

    whole, killed, again = tmp_path / "whole", tmp_path / "killed", tmp_path / "again"
    run(whole)
    run(again)
    assert results(again) == results(whole)
    checkpoints = "classifiers/*.training/[0-9]*"
    run_and_kill_when(killed, lambda: list(killed.glob(checkpoints)))
    assert not list(killed.glob("certify/*/rows.tsv"))

    def has_rows():
        return any(
            path.read_text().count("\n") > 3
            for path in killed.glob("certify/*/rows.tsv")
        )

    run_and_kill_when(killed, has_rows)
    run(killed)
    for a, b in zip(
        jax.tree.leaves(weights(whole)), jax.tree.leaves(weights(killed)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
    assert results(killed) == results(whole)
