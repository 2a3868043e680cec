"""Ctrl-C, SIGTERM and SIGHUP at any moment, in real processes of four programs."""

import pathlib
import random
import signal
import subprocess
import sys
import time

import pytest

ROOT = pathlib.Path(__file__).parents[2]
CORPUS = "--corpus=voices(num_speakers=2, minutes_per_speaker=0.5)"
TINY = [
    CORPUS,
    "--model=rescnn(width=1, embedding_size=8)",
    "--num_steps=120",
    "--batch_size=16",
]
PROGRAMS = {
    "experiments.train": ["--home={}", *TINY],
    "experiments.certify": [
        "--home={}",
        *TINY,
        "--num_selection=10",
        "--num_estimation=500",
        "--num_points=20",
        "--alpha=0.01",
    ],
    "experiments.attack": [
        "--home={}",
        *TINY,
        "--rep=waveform",
        "--attack=pgd(num_steps=400)",
        "--budget=30dB",
        "--num_points=8",
    ],
    "data_prep.build": ["--out={}/built", CORPUS],
}


def start(program, folder):
    flags = [flag.format(folder) for flag in PROGRAMS[program]]
    # A job in the background of a script is started to ignore Ctrl-C.
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", program, *flags],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def interrupted(program, folder, number, after_s):
    """End of the process: its code, as a shell says it, and its errors."""
    process = start(program, folder)
    try:
        time.sleep(after_s)
        if process.poll() is not None:
            return None
        process.send_signal(number)
        began = time.monotonic()
        _, errors = process.communicate(timeout=60)
        code = process.returncode
        return (128 - code if code < 0 else code), errors, time.monotonic() - began
    finally:
        process.kill()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("program", PROGRAMS)
def test_a_signal_at_any_moment_ends_in_one_line_and_the_command_continues(
    program, tmp_path
):
    moments = random.Random(program)
    numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
    for turn in range(12):
        number = numbers[turn % 2] if turn < 10 else numbers[2]
        # The first ones while Python and JAX are loading.
        after_s = 0.3 * (turn + 1) if turn < 4 else moments.uniform(1.0, 15.0)
        ended = interrupted(program, tmp_path, number, after_s)
        if ended is None:
            break
        code, errors, spent_s = ended
        assert code == 128 + number, (after_s, errors)
        assert spent_s < 15, (after_s, errors)
        if after_s > 0.5:
            assert "Traceback" not in errors, (after_s, errors)
            assert errors.count("interrupted: ") == 1, (after_s, errors)
            assert errors.splitlines()[-1].startswith("interrupted: "), errors
    whole = start(program, tmp_path)
    _, errors = whole.communicate(timeout=600)
    assert whole.returncode == 0, errors
