import jax
import numpy as np
import pytest

from advjax import evaluation
from advjax.attacks import batches, fgsm, run
from advjax.training import Recipe
from experiments.lab.budget_scan import Scan, needed, scan_budgets
from experiments.lab.task import Task

BUDGETS = (0.001, 0.003, 0.01, 0.03)


@pytest.fixture(scope="module")
def system(tmp_path_factory, need_array_record):
    task = Task(
        home=tmp_path_factory.mktemp("home"),
        corpus="voices(num_speakers=2, minutes_per_speaker=0.5)",
        model="alexnet(width=12, resize=35)",
        defence="plain",
        recipe=Recipe(num_steps=8, batch_size=16, validate_every=4),
        crops={"train": 20, "validation": 8, "test": 8},
    )
    return task.resolve()


def right_ones(system):
    points = system.test_points(None)
    logits = evaluation.logits_of_batch(
        system.logits_fn(), np.stack([point.x for point in points])
    )
    answers = logits.argmax(axis=1)
    return [p for p, answer in zip(points, answers, strict=True) if answer == p.label]


def test_every_clip_needs_the_first_budget_that_fools_it(system, tmp_path):
    points = right_ones(system)
    scan = Scan("fgsm", BUDGETS)
    before = batches._programs.cache_info().misses
    scan_budgets(system, scan, points, tmp_path, num_slots=4, environment={})
    assert batches._programs.cache_info().misses == before + 1
    found = needed(tmp_path)
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
    points = system.test_points(4)
    for _ in range(2):
        capsys.readouterr()
        scan_budgets(
            system,
            Scan("deepfool(max_steps=3)"),
            points,
            tmp_path,
            num_slots=4,
            environment={},
        )
    assert "0 of 4 points to attack" in capsys.readouterr().err
    assert needed(tmp_path).norm == "l2"
