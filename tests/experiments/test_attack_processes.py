"""One attack by two processes, from nothing to the report."""

import os
import pathlib
import socket
import subprocess
import sys

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments import attack
from experiments.lab import adversarial_examples

ROOT = pathlib.Path(__file__).parents[2]
GIVEN = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "rescnn(width=1, embedding_size=8)",
    "num_steps": 2,
    "batch_size": 16,
    "num_points": 5,
    "rep": "mfbe",
}


pytestmark = pytest.mark.usefixtures("need_array_record")


@pytest.fixture(scope="module", autouse=True)
def quick_programs():
    # More is compiled than computed, here and in the processes; conftest undoes it.
    jax.config.update("jax_disable_most_optimizations", True)


def together(home):
    """What two processes of two devices each print."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    given = {**GIVEN, "home": home, "coordinator": f"127.0.0.1:{port}"}
    command = [sys.executable, "-m", "experiments.attack", "--num_processes=2"]
    command += [f"--{name}={value}" for name, value in given.items()]
    command += ["--attack=pgd(num_steps=3)", "--attack=noise", "--budget=30dB"]
    started = [
        subprocess.Popen(
            [*command, f"--process_id={index}"],
            cwd=ROOT,
            env={
                **os.environ,
                "XLA_FLAGS": "--xla_force_host_platform_device_count=2",
                "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            },
            stdout=subprocess.PIPE,
            stderr=(home / f"log{index}").open("w"),
            text=True,
        )
        for index in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=400)[0] for process in started]
    finally:
        for process in started:
            process.kill()
    for index, process in enumerate(started):
        assert process.returncode == 0, (home / f"log{index}").read_text()
    return said


def found(home, name):
    """Rows and adversarial examples of one attack."""
    for folder in (home / "attack").iterdir():
        if folder.is_dir() and name in folder.name:
            rows = ATTACK_ROWS.read(folder)
            count = int(runs.description(folder)["settings"]["num_points"])
            assert len(rows.id) == count == 5
            position = {id: place for place, id in enumerate(rows.id)}
            examples = adversarial_examples.examples(folder, position)
            return folder, rows, np.stack([examples[id] for id in rows.id])
    raise AssertionError(f"no run of {name}")


@pytest.mark.slow
def test_two_processes_train_together_and_attack_what_one_attacks(tmp_path):
    both, alone = tmp_path / "both", tmp_path / "alone"
    both.mkdir()
    alone.mkdir()
    said = together(both)
    # The one that came last writes the report; both may think they were.
    assert any("fooled" in text for text in said)
    for made in ("records", "classifiers"):
        (alone / made).symlink_to(both / made)
    with flagsaver.flagsaver(
        home=str(alone), attack=["pgd(num_steps=3)", "noise"], budget=["30dB"],
        compile_cache=False, **GIVEN,
    ):  # fmt: skip
        attack.main()
    for name in ("pgd", "noise"):
        folder, rows, x_adv = found(both, name)
        assert sorted(path.name for path in folder.glob("*.npy")) == [
            "x_adv-0-of-2.npy",
            "x_adv-1-of-2.npy",
        ]
        _, want, want_x_adv = found(alone, name)
        assert rows.id == want.id
        np.testing.assert_array_equal(rows.success, want.success)
        np.testing.assert_array_equal(rows.queries, want.queries)
        np.testing.assert_allclose(x_adv, want_x_adv, atol=1e-4)
        assert np.abs(x_adv).max(axis=tuple(range(1, x_adv.ndim))).min() > 0
    (report,) = (both / "comparisons").glob("comparison-*/report.md")
    assert report.read_text()
    assert "5 clips to attack" not in (both / "log0").read_text()
