import numpy as np
import pytest

from advjax.metrics.robustness import (
    accuracy_under_attack,
    attackable,
    budget_for_auc,
    fooling_rate,
    off_target,
    perturbation_ratio,
    success_rate_auc,
)
from advjax.metrics.transfer import transfer_share

CORRECT = np.array([True, True, True, True, False])
SUCCESS = np.array([True, False, True, True, True])


def test_rates_count_what_they_say():
    assert accuracy_under_attack(CORRECT, SUCCESS) == 1 / 5
    assert fooling_rate(CORRECT, SUCCESS) == 3 / 4
    assert np.isnan(fooling_rate(np.array([False]), np.array([True])))
    for rate in (accuracy_under_attack, fooling_rate):
        with pytest.raises(ValueError, match="no rows"):
            rate(CORRECT[:0], SUCCESS[:0])


def test_a_ratio_above_one_means_attacks_became_dearer():
    assert perturbation_ratio(np.array([2.0, 4.0]), np.array([1.0, 2.0])) == 2


# Right; wrong; right and led away; wrong and led elsewhere; at the target by mistake;
# of the target's class and right; of the target's class and wrong.
LABEL = np.array([0, 0, 0, 0, 0, 1, 1])
CLEAN = np.array([0, 1, 0, 2, 1, 1, 0])
TARGET = np.array([-1, -1, 1, 1, 1, 1, 1])


def test_what_needs_no_perturbation_does_not_count():
    known = attackable(LABEL, CLEAN, TARGET)
    assert known.tolist() == [True, False, True, False, False, False, False]
    # Accuracies have mistakes in them, but not what a targeted attack cannot move.
    kept = off_target(LABEL, CLEAN, TARGET)
    assert kept.tolist() == [True, True, True, True, False, False, False]
    np.testing.assert_array_equal(known, kept & (LABEL == CLEAN))
    for row, expected in zip(
        zip(LABEL, CLEAN, TARGET, strict=True), known, strict=True
    ):
        assert attackable(*map(int, row)) is bool(expected)


def test_transfer_is_a_change_of_the_right_answer_of_the_other_classifier():
    won = np.array([True, True, True, True, False])
    label = np.array([0, 0, 0, 1, 0])
    clean = np.array([0, 1, 0, 1, 0])
    attacked = np.array([1, 0, 0, 2, 1])
    told = dict(label=label, clean=clean, attacked=attacked)
    # The second it had wrong before; the last was no success at its source.
    assert transfer_share(won, **told, target=np.full(5, -1)) == (2, 3)
    # The fourth is of the class to reach.
    assert transfer_share(won, **told, target=np.ones(5, int)) == (1, 2)
    assert transfer_share(
        ~won[:1], **{k: v[:1] for k, v in told.items()}, target=np.full(1, -1)
    ) == (0, 0)


def test_the_area_under_a_staircase_is_that_of_its_curve():
    sizes = np.array([0.1, 0.3, 0.3, np.inf])
    edges = np.linspace(0, 2, 200_001)
    curve = (sizes[:, None] <= edges).mean(axis=0)
    expected = np.trapezoid(curve, edges) / 2
    assert success_rate_auc(sizes, 2.0) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("resisting", [0, 1, 2])
def test_the_budget_for_an_area_gives_that_area(resisting):
    sizes = np.random.default_rng(0).gamma(2, 0.1, 30)
    sizes[:resisting] = np.inf
    limit = budget_for_auc(sizes, 0.9)
    assert success_rate_auc(sizes, limit) == pytest.approx(0.9)
    # The least one: less budget, less area.
    assert success_rate_auc(sizes, 0.99 * limit) < 0.9


def test_no_budget_does_where_a_tenth_resists():
    sizes = np.array([0.1] * 9 + [np.inf])
    assert budget_for_auc(sizes, 0.9) == np.inf
    assert budget_for_auc(np.array([0.1] * 9 + [50.0]), 0.9) < np.inf
    assert budget_for_auc(np.full(3, np.inf)) == np.inf
    with pytest.raises(ValueError, match="no rows"):
        budget_for_auc(np.array([]))
