import jax
import numpy as np
import pytest

from advjax import evaluation
from advjax.attacks import fgsm, run
from advjax.attacks.slot_programs import programs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.training import Recipe
from experiments.lab import held_out
from experiments.lab.budget_scan import Scan, read_scan
from experiments.lab.cells import Cell
from experiments.lab.grid import Job
from experiments.lab.steps import Predict, ScanBudgets, predictions_file
from experiments.lab.task import Task

BUDGETS = (0.001, 0.003, 0.01, 0.03)


@pytest.fixture(scope="module")
def system(tmp_path_factory, need_array_record, tiny_network):
    task = Task(
        home=tmp_path_factory.mktemp("home"),
        corpus="voices(num_speakers=2, minutes_per_speaker=0.5)",
        model="tiny",
        defence="plain",
        recipe=Recipe(num_steps=30, batch_size=16, validate_every=30),
        crops={"train": 20, "validation": 8, "test": 8},
    )
    return task.resolve()


def scan(system, folder, attack, budgets=(), num_points=100):
    """Run a step; return the folder of the scan."""
    job = Job(Cell("cell"), system.task, folder, folder, {}, system)
    ScanBudgets("scan", Scan(attack, budgets), num_points, num_slots=4).run(job)
    return folder / "scan"


def right_ones(system):
    points = system.test_points(None)
    logits = evaluation.logits_of_batch(
        system.logits_fn(), np.stack([point.x for point in points])
    )
    answers = logits.argmax(axis=1)
    return [p for p, answer in zip(points, answers, strict=True) if answer == p.label]


def test_every_clip_needs_the_first_budget_that_fools_it(system, tmp_path):
    points = right_ones(system)
    before = programs.cache_info().misses
    folder = scan(system, tmp_path, "fgsm", BUDGETS)
    assert programs.cache_info().misses == before + 1
    found = read_scan(folder)
    assert found.ids == tuple(sorted(point.id for point in points))
    assert found.norm == "linf"

    attack, logits_fn = (
        fgsm(bounds=system.stage.bounds),
        system.logits_fn(),
    )
    x, y = np.stack([p.x for p in points]), np.asarray([p.label for p in points])
    one = jax.jit(
        jax.vmap(
            lambda x, y, eps: run(attack, logits_fn, x, y, jax.random.key(0), eps),
            in_axes=(0, 0, None),
        )
    )
    fooled = np.stack([one(x, y, np.float32(eps)).success for eps in BUDGETS])
    first = np.where(fooled.any(axis=0), fooled.argmax(axis=0), len(BUDGETS))
    expected = np.append(BUDGETS, np.inf)[first]
    # Clips near a boundary differ in the last bits from one program to another.
    order = np.argsort([point.id for point in points])
    assert np.mean(np.isclose(found.sizes, expected[order], rtol=1e-5)) >= 0.8
    assert len(set(expected)) > 1


def test_a_finished_scan_attacks_nothing_again(system, tmp_path, capsys):
    for _ in range(2):
        capsys.readouterr()
        folder = scan(system, tmp_path, "deepfool(max_steps=3)", num_points=4)
    assert "All 4 clips were attacked before." in capsys.readouterr().err
    found = read_scan(folder)
    assert found.norm == "l2" and len(found.ids) == 4
    # Right clips are doubted less than one half, those that were fooled more.
    assert (found.clean_doubt < 0.5).all()
    fooled = np.isfinite(found.sizes)
    assert fooled.any() and (found.doubt[fooled] > 0.49).all()
    np.testing.assert_array_equal(found.doubt[~fooled], found.clean_doubt[~fooled])


def test_targets_differ_from_the_label_and_count_once_reached(system, tmp_path):
    budgets = (0.03, 0.3)
    folder = scan(system, tmp_path, "bim(targeted=True)", budgets)
    rows = [ATTACK_ROWS.read(each) for each in sorted(folder.iterdir())]
    for each in rows:
        assert (each.target >= 0).all() and (each.target != each.label).all()
        won = each.success & (each.predict != each.target)
        assert not won.any()
    assert read_scan(folder).ids == tuple(sorted(rows[0].id))


def test_predictions_name_the_recording_of_each_clip(system, tmp_path):
    job = Job(Cell("cell"), system.task, tmp_path, tmp_path, {}, system)
    result = Predict("validation").run(job)
    rows = held_out.PREDICTIONS.read(predictions_file(tmp_path, "validation"))
    source = system.data.split("validation")
    assert list(rows.id) == [source[i]["id"] for i in range(len(source))]
    assert list(rows.recording) == [source[i]["speaker"] for i in range(len(source))]
    assert result["validation_right"] == (rows.label == rows.predict).sum()
    assert (result["num_classes"], result["validation_clips"]) == (2, len(source))
