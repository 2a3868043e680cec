"""The program that certifies against time shifts, at the smallest size."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.runs import descriptions
from advjax.runs.row_types import SHIFTS
from experiments import certify, requests, shifts
from experiments.lab import shifts as lab

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "num_steps": 30,
    "batch_size": 16,
    "num_points": 4,
    "max_shift": 6,
    "shift_step": 2,
    "compile_cache": False,
}

pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def home(new_home):
    """A home in which one run has been made."""
    with flagsaver.flagsaver(home=str(home := new_home()), **SMALL):
        shifts.main()
    return home


def test_rows_are_the_votes_of_rotations(home):
    (folder,) = (home / "shifts").iterdir()
    rows = SHIFTS.read(folder)
    assert len(rows) == 4 and set(rows.n) == {7}
    with flagsaver.flagsaver(home=str(home), **SMALL):
        system = requests.draft(defence="plain").task.at_waveform().resolve()
    assert (system.stage.name, system.task.trained_at) == ("waveform", "mfbe")
    logits_fn = jax.jit(jax.vmap(system.logits_fn()))
    for point, row in zip(system.test_points(4), rows, strict=True):
        assert (point.id, point.label) == (row.id, row.label)
        copies = jnp.stack([jnp.roll(point.x, s) for s in range(-6, 7, 2)])
        votes = np.bincount(np.asarray(logits_fn(copies)).argmax(axis=1), minlength=2)
        assert (row.predict, row.votes) == (votes.argmax(), votes.max())
        assert row.correct == (row.predict == row.label)
        # Two classes: the lead of 7 votes is odd, so that no tie is met.
        assert row.radius == 2 * ((votes.max() - votes.min()) // 2)


def test_the_report_has_shifts_in_samples_and_in_time(home, capsys):
    with flagsaver.flagsaver(home=str(home), **SMALL):
        shifts.main()  # all clips have a row
    output = capsys.readouterr()
    assert "0 of 4 clips to certify" in output.err
    (folder,) = (home / "shifts").iterdir()
    text = (folder / "report.md").read_text()
    rows = SHIFTS.read(folder)
    # The shifts of the table that are multiples of two samples, and the largest.
    shown = re.findall(r"^\| (\d+) \| ([\d.]+) \| [\d.]+ \[", text, re.MULTILINE)
    assert shown == [("0", "0"), ("6", "0.375")]
    certified = (rows.correct & (rows.radius >= 6)).mean()
    assert f"| 6 | 0.375 | {certified:.3f} [" in text
    assert "by a multiple of 2 samples" in text and "no failure probability" in text
    assert (folder / "shifts.png").stat().st_size > 10_000
    base = descriptions.description(folder)["outcome"]["base_accuracy"]
    assert base["total"] == 4


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_shift": 5}, "no multiple of --shift_step=2"),
        ({"max_shift": 12_900}, "clips have 25800 samples"),
        ({"num_points": 999}, "test clips at most"),
    ],
)
def test_impossible_runs_are_refused_before_any_work(tmp_path, changes, message):
    given = SMALL | {"home": str(tmp_path)} | changes
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match=message):
        shifts.main()
    assert not any(tmp_path.iterdir())


def test_a_request_counts_its_votes():
    assert lab.ShiftRequest(160).num_votes == 321
    assert lab.ShiftRequest(160, 16).num_votes == 21


def test_a_run_of_certificates_lends_its_network(home, capsys):
    votes = {"num_selection": 10, "num_estimation": 40, "alpha": 0.01}
    small = {k: v for k, v in SMALL.items() if "shift" not in k}
    with flagsaver.flagsaver(home=str(home), defence="plain", **small, **votes):
        certify.main()
    (run,) = (home / "certify").iterdir()
    shifted = {k: v for k, v in SMALL.items() if "shift" in k}
    with flagsaver.flagsaver(run=str(run), compile_cache=False, **shifted):
        shifts.main()
    # The same network and clips: the run that is there already.
    assert "0 of 4 clips to certify" in capsys.readouterr().err
    assert len(list((home / "shifts").iterdir())) == 1
