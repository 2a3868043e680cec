import types

import jax.numpy as jnp
import numpy as np
import pytest

from experiments.benchmarks import attacks, strength
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.strength import Outcome, Problem
from experiments.benchmarks.work import Turn


def problem(**changes):
    # Class 1 is that of a positive sum.
    x = np.full((3, 2), -0.5, np.float32)
    given = Problem(
        lambda x: jnp.stack([-x.sum(), x.sum()]), x, np.zeros(3, np.int32), False,
        "l2", (-1.0, 1.0), None,
    )  # fmt: skip
    return given._replace(**changes)


def test_what_breaks_the_rules_is_no_success():
    x_adv = np.float32([[0.6, -0.5], [1.5, -0.5], [-0.5, -0.5]])
    outcome = strength.judge(problem(), x_adv)
    # The second lies outside the bounds, the third is still of its class.
    assert outcome.success.tolist() == [True, False, False]
    np.testing.assert_allclose(outcome.distance, [1.1, 2.0, 0.0], rtol=1e-6)
    assert not strength.judge(problem(budget=1.0), x_adv).success.any()
    assert strength.judge(problem(norm="l0"), x_adv).distance.tolist() == [1, 1, 0]
    targeted = problem(targeted=True, y=np.ones(3, np.int32))
    assert strength.judge(targeted, x_adv).success.tolist() == [True, False, False]


def test_success_counts_before_distance_and_only_on_common_examples():
    near = Outcome(np.array([True, True]), np.array([1.0, 1.0]))
    far = Outcome(np.array([True, True, False]), np.array([2.0, 2.0, 9.0]))
    assert strength.standing(far, near, by_distance=True) == "weaker"
    assert strength.standing(near, far, by_distance=True) == "stronger"
    assert strength.standing(far, near, by_distance=False) == "equal"
    fewer = Outcome(np.array([True, False]), np.array([0.1, 9.0]))
    assert strength.standing(fewer, near, by_distance=True) == "weaker"
    assert np.isnan(Outcome(np.zeros(2, bool), np.ones(2)).median())


@pytest.mark.parametrize(
    ("first_s", "slope_s", "units"),
    [(0.5, None, 8), (4.0, (4.0, 4.1), 8), (4.0, (4.0, 8.0), 2), (20.0, None, 0)],
)
def test_a_slow_rival_gets_few_examples_or_its_first_call_alone(
    monkeypatch, first_s, slope_s, units
):
    monkeypatch.setattr(
        attacks.bench, "TURN_LIMIT_S", types.SimpleNamespace(value=10.0)
    )
    calls = []

    def run(count):
        calls.append(count)
        return Turn(count, slope_s[len(calls) - 1], 0, 0)

    entrant = types.SimpleNamespace(last=Turn(2, first_s, 0, 0), run=run)
    assert attacks._examples_of_turns(8, [entrant]) == [units]
    assert calls == ([2, 4] if slope_s else [])


def test_the_best_rival_is_the_fastest_that_is_as_strong():
    def entry(name, kind, wall_s, count):
        turns = tuple(Turn(count, s, s, 0) for s in wall_s)
        return Result(name, kind, turns[0], turns)

    def outcome(*success):
        return Outcome(np.array(success), np.ones(len(success)))

    found = [
        entry("ours, 8 slots", "ours", [1.0, 1.0], 4),
        entry("ours, vmap", "ours", [0.5, 0.5], 4),
        entry("weak", "rival", [0.1, 0.1], 4),
        entry("slow", "rival", [4.0], 2),
    ]
    outcomes = {each.name: outcome(True, True, True, True) for each in found[:2]}
    outcomes["weak"] = outcome(True, False, False, False)
    outcomes["slow"] = outcome(True, True)
    ranked = attacks._rank(outcomes, found, by_distance=False)
    assert [each.kind for each in ranked] == ["ours", "ours", "weaker", "rival"]
    table = attacks.summary([Contest("pgd, linf", "examples", ranked)], [])
    cells = [dict(zip(table.header, row, strict=True)) for row in table.rows]
    assert [row["beside ours"] for row in cells] == [
        "equal",
        "equal",
        "weaker",
        "equal",
    ]
    # Two examples a second for ours by vmap eight, for the slow rival a half.
    assert cells[1]["times the best rival"] == "16.00 [16.00, 16.00]"
    assert cells[3]["examples"] == "2" and cells[3]["examples/s"] == "0.5"
