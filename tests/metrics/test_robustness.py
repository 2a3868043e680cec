import numpy as np
import pytest

from advjax.metrics.robustness import (
    accuracy_under_attack,
    budget_for_auc,
    fooling_rate,
    perturbation_ratio,
    success_rate_auc,
)
from advjax.metrics.transfer import transfer_rate

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


def test_transfer_is_a_change_of_the_targets_own_answer():
    success = np.array([True, True, True, False])
    clean = np.array([0, 1, 2, 0])
    attacked = np.array([1, 1, 0, 1])
    assert transfer_rate(success, clean, attacked) == 2 / 3
    target = np.array([1, 1, 1, 1])
    # The second already answered the target before: that is no change.
    assert transfer_rate(success, clean, attacked, target) == 1 / 3
    assert np.isnan(transfer_rate(~success[:1], clean[:1], attacked[:1]))


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
