import dataclasses
import math
import types

import jax.numpy as jnp
import numpy as np
import pytest

from advjax.classifier import Classifier
from advjax.evaluation import Point
from advjax.representations import Magnitude, MelEnergies, Waveform
from advjax.runs.row_types import SHIFTS
from experiments.lab.grid import Job
from experiments.lab.presets import SMALL
from experiments.lab.shifts import ShiftRequest
from experiments.lab.task import Task
from experiments.studies.speakers import input_cells
from experiments.studies.speakers.staggered import (
    Staggered,
    excerpt_of,
    staggered_table,
)
from tests.experiments.studies.speakers.test_changed_inputs import FirstEntry


def system(representation):
    classifier = Classifier({}, FirstEntry(), representation, ("no", "yes"))
    return types.SimpleNamespace(representation=representation, classifier=classifier)


def tone(period, count=25_800):
    return (0.5 * np.sin(2 * np.pi * np.arange(count) / period)).astype(np.float32)


def test_excerpts_of_a_tone_are_as_far_apart_as_their_phases():
    rep, period = MelEnergies(), 40
    points = [Point(i, f"clip{i}", tone(period), 1) for i in range(2)]
    table = staggered_table(system(rep), points, apart=(5, 10, 40))
    assert table.header[2:5] == ["l2 at waveform", "l2 at magnitude", "l2 at mfbe"]
    five, published, ten, forty = table.rows
    assert published[:3] == ["5, publication's pair", "0.312", "13.6"]
    assert len(published) == len(five)
    for row, shift in ((five, 5), (ten, 10)):
        # sin(a + b) - sin(a) has the amplitude 2 sin(b / 2).
        amplitude = 2 * math.sin(math.pi * shift / period)
        norm = 0.5 * amplitude * math.sqrt((25_800 - shift) / 2)
        assert float(row[2]) == pytest.approx(norm, rel=1e-3)
        assert float(row[5]) == pytest.approx(-20 * math.log10(amplitude), abs=0.06)
    # A whole period: the same samples, but for those that no excerpt has.
    assert float(forty[2]) < 0.01 and forty[-1] == "1.000 [0.16, 1.00]"
    assert five[1] == "0.312"


def test_predictions_of_both_excerpts_are_compared():
    x = np.random.default_rng(0).normal(0, 0.1, (12, 25_800)).astype(np.float32)
    # A low thump that only the first excerpt has: its lowest band stands out.
    x[::3, :80] += 50 * np.sin(np.pi * np.arange(80) / 80).astype(np.float32) ** 2
    points = [Point(i, f"clip{i}", each, i % 2) for i, each in enumerate(x)]
    (row,) = staggered_table(system(MelEnergies()), points, apart=(80,)).rows
    short = MelEnergies(source=Magnitude(source=Waveform(num_samples=25_720)))
    first, second = (
        np.asarray(
            [short.apply(jnp.asarray(each[start:][:25_720]))[0, 0, 0] > 0 for each in x]
        )
        for start in (0, 80)
    )
    labels = np.arange(12) % 2
    wanted = [first == labels, second == labels, first == second]
    assert 0 < np.mean(wanted[2]) < 1, "else the columns need not differ"
    found = [float(cell.partition(" [")[0]) for cell in row[-3:]]
    np.testing.assert_allclose(found, np.mean(wanted, axis=1), atol=1e-3)


@pytest.mark.slow
@pytest.mark.usefixtures("need_array_record", "tiny_network")
def test_the_step_has_both_tables_and_the_figure(tmp_path):
    task = Task(
        home=tmp_path / "home",
        corpus="voices(num_speakers=2, minutes_per_speaker=0.5)",
        model="tiny",
        crops={"train": 20, "validation": 5, "test": 5},
        recipe=dataclasses.replace(SMALL.recipe, num_steps=20),
    )
    cell = next(c for c in input_cells.cells() if c.path == "inputs/staggered")
    folder = tmp_path / "out/cells" / cell.path
    job = Job(cell, task, folder, tmp_path / "out", {})
    step = Staggered(4, 3, ShiftRequest(2))
    sections = step.run(job)["sections"]
    titles = [heading.partition("\n")[0] for heading, _ in sections]
    assert titles == ["## Staggered excerpts", "## Certified against time shifts"]
    rows = SHIFTS.read(folder / "shifts")
    assert set(rows.n) == {5} and len(rows) == 3
    assert sections[1][1].rows[-1][0] == "2"
    assert "4 test crops of" in sections[0][1].notes[0]
    assert (tmp_path / "out/shifts.png").exists()


@pytest.mark.parametrize(("fewer", "fits"), [(0, True), (119, True), (120, False)])
def test_excerpts_keep_the_shape_of_the_input_or_are_refused(fewer, fits):
    if fits:
        short = excerpt_of(MelEnergies(), fewer)
        assert short.chain()[0].num_samples == 25_800 - fewer
        return
    with pytest.raises(ValueError, match=r"120 samples apart .*\(159, 64, 1\)"):
        excerpt_of(MelEnergies(), fewer)
