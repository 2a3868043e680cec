"""Certificates under attack: what is inside the radius holds, what is outside falls."""

import sys

import jax
import numpy as np
import pytest
from absl import flags

from advjax import evaluation, smoothing
from advjax.attacks import carlini_wagner, pgd
from advjax.evaluation import Point, certify_points
from advjax.runs.row_types import SMOOTHED_ATTACKS
from advjax.training import Recipe
from experiments.lab import certify, smoothed_attack, smoothed_attack_report
from experiments.lab.task import Task
from tests.problems import distance, half_space

pytestmark = pytest.mark.slow

SIGMA, ALPHA, NUM_POINTS = 0.25, 0.01, 60
NOISE = smoothing.gaussian(SIGMA)
NORMAL, OFFSET = np.array([3.0, -4.0, 0.5, 1.0, -2.0, 1.5]), 0.3
PLANE = half_space(NORMAL, OFFSET)
FREE = (-np.inf, np.inf)


def points_of_class_1():
    """At 0.6 to 2.5 deviations from the plane."""
    generator = np.random.default_rng(0)
    unit = NORMAL / np.linalg.norm(NORMAL)
    for index, ratio in enumerate(np.linspace(0.6, 2.5, NUM_POINTS)):
        beside = generator.normal(size=6)
        x = beside - unit * (beside @ unit)
        x += unit * (ratio * SIGMA - OFFSET / np.linalg.norm(NORMAL))
        yield Point(index, f"{index}", np.float32(x), 1)


POINTS = list(points_of_class_1())
AWAY = [distance(NORMAL, OFFSET, point.x) for point in POINTS]


@pytest.fixture(scope="module")
def radii():
    """The certified ones; they lie below the exact ones but for chance."""
    rows = certify_points(
        PLANE, POINTS, jax.random.key(0), noise=NOISE,
        plan=smoothing.VotePlan(100, 10_000, ALPHA, smoothing.ClopperPearson()),
        placement=smoothing.Placement(tile=1000),
    )  # fmt: skip
    found = {row.id: row.radius for row in rows if row.correct}
    assert len(found) > 0.95 * NUM_POINTS
    return found


def attacked(attack, eps_of, num_draws=64):
    """The rows of the points, each within its own budget."""
    todo = [
        smoothed_attack.Trial(point, 0.0, "attack", "given", eps_of(point))
        for point in POINTS
    ]
    key_attack, key_vote = jax.random.split(jax.random.key(1))
    judge = smoothed_attack.Judge(
        PLANE, {trial.row.id: trial for trial in todo}, key_vote, NOISE, 4000, ALPHA,
        smoothing.Placement(1000),
    )  # fmt: skip
    inputs = smoothed_attack.inputs_of(attack, todo, noise=NOISE, num_draws=num_draws)
    found = evaluation.attack_points(
        inputs.attack, PLANE, inputs.points, key_attack, budgets=inputs.budgets,
        num_slots=NUM_POINTS,
    )  # fmt: skip
    rows = [judge.row(*each) for each in found]
    return {row.clip: row for row in rows}


def certified(rows, radii):
    return [row._replace(radius=radii.get(clip, 0.0)) for clip, row in rows.items()]


PGD = pgd(norm="l2", num_steps=10, num_restarts=3, stop="last", bounds=FREE)


def test_nothing_flips_just_inside_the_radius_of_a_linear_classifier(radii):
    rows = certified(attacked(PGD, lambda p: 0.999 * radii.get(p.id, 0.0)), radii)
    # It went all the way: the attack is not what holds.
    reached = [row.l2 / row.eps for row in rows if row.eps]
    assert min(reached) > 0.99
    found = smoothed_attack_report.verdict(rows, num_points=NUM_POINTS, alpha=ALPHA)
    assert found.num_inside >= len(radii)
    assert found.p_value >= ALPHA, found.broken


def test_outside_of_the_exact_radius_the_same_attack_flips_all_votes(radii):
    away = dict(zip((p.id for p in POINTS), AWAY, strict=True))
    rows = attacked(PGD, lambda p: 1.4 * away[p.id])
    assert all(row.flipped for row in rows.values())
    # A certifier that claimed too much would be found out.
    claimed = {clip: float(1.5 * radius) for clip, radius in away.items()}
    found = smoothed_attack_report.verdict(
        certified(rows, claimed), num_points=NUM_POINTS, alpha=ALPHA
    )
    assert len(found.broken) == NUM_POINTS and found.p_value < 1e-9
    # The true radii cover none of these perturbations.
    assert not any(row.inside for row in certified(rows, radii))


def test_the_smallest_perturbation_lies_at_the_exact_radius_and_not_inside(radii):
    attack = carlini_wagner(
        num_searches=5, num_steps=60, learning_rate=0.01, initial_c=0.1,
        abort_early=False, confidence=0.05, bounds=FREE,
    )  # fmt: skip
    rows = attacked(attack, lambda p: np.inf, num_draws=1000)
    ratios = np.array(
        [rows[p.id].l2 / away for p, away in zip(POINTS, AWAY, strict=True)]
    )
    # Of all steps' means the luckiest ends nearest; few draws would end far inside.
    assert ratios.min() > 0.7 and 0.95 < np.median(ratios) < 1.05
    found = smoothed_attack_report.verdict(
        certified(rows, radii), num_points=NUM_POINTS, alpha=ALPHA
    )
    assert found.p_value >= ALPHA, found.broken
    # On the plane itself no vote can tell.
    assert np.mean([row.predict == smoothing.ABSTAIN for row in rows.values()]) > 0.5


def test_a_trained_network_holds_inside_its_radii_and_falls_outside(tmp_path):
    pytest.importorskip("array_record.python.array_record_data_source")
    if not flags.FLAGS.is_parsed():
        flags.FLAGS(sys.argv[:1])
    task = Task(
        home=tmp_path,
        corpus="voices(num_speakers=3, minutes_per_speaker=0.5)",
        at="mfbe",
        sigma=0.5,
        model="rescnn(width=4)",
        recipe=Recipe(num_steps=60, batch_size=48, learning_rate=2e-3),
    )
    how = certify.Certification(num_selection=100, num_estimation=1000, alpha=ALPHA)
    system = task.resolve()
    folder = certify.certify(system, how, num_points=12, workdir=None, environment={})
    request = smoothed_attack.SmoothedAttackRequest(
        attacks=[
            "pgd(norm='l2', num_steps=10, num_restarts=2, stop='last')",
            "carlini_wagner(num_searches=3, num_steps=40, learning_rate=1e-3, "
            "initial_c=2.5, confidence=1.0, abort_early=False, "
            "change_of_variables='none')",
        ],
        fractions=[8.0],
        num_draws=8,
        num_votes=400,
    )
    attacked_in = smoothed_attack.run(system, folder, request, environment={})
    rows = list(SMOOTHED_ATTACKS.read(attacked_in))
    found = smoothed_attack_report.verdict(rows, num_points=12, alpha=ALPHA)
    assert len(rows) >= 3 * 4 and found.num_inside >= len(rows) / 3
    assert sum(row.budget == "smallest" and row.flipped for row in rows) > 0
    assert found.p_value >= ALPHA, found.broken
    outside = [row for row in rows if row.budget == "8 sigma"]
    assert np.mean([row.flipped for row in outside]) > 0.5
    assert "flipped inside" in smoothed_attack_report.report(attacked_in)
