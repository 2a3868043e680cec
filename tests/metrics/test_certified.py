import numpy as np
import pytest

from advjax.metrics.certified import (
    abstain_rate,
    average_certified_radius,
    certified_accuracy,
    certified_accuracy_lower_bound,
    smoothed_accuracy,
)

# Five points: right at 0.5, right at 0.2, wrong at 0.9, abstained, right at 0.2.
PREDICT = np.array([3, 1, 2, -1, 0])
CORRECT = np.array([True, True, False, False, True])
RADIUS = np.array([0.5, 0.2, 0.9, 0.0, 0.2])


def test_certified_accuracy_of_five_points():
    radii = np.array([0.0, 0.2, 0.2000001, 0.5, 0.6, 0.9])
    got = certified_accuracy(CORRECT, RADIUS, radii)
    # A radius that is just reached counts; a wrong point never does.
    np.testing.assert_array_equal(got, [0.6, 0.6, 0.2, 0.2, 0.0, 0.0])


def test_certified_accuracy_equals_the_definition():
    rng = np.random.default_rng(0)
    correct, radius = rng.random(300) < 0.7, rng.random(300).round(2)
    radii = np.linspace(0, 1, 51)
    want = [np.mean(correct & (radius >= r)) for r in radii]
    np.testing.assert_array_equal(certified_accuracy(correct, radius, radii), want)


def test_rates_and_average_radius_of_five_points():
    assert smoothed_accuracy(CORRECT) == 0.6
    assert abstain_rate(PREDICT) == 0.2
    assert average_certified_radius(CORRECT, RADIUS) == pytest.approx(0.9 / 5)


def test_average_radius_is_the_area_under_the_curve():
    radii = np.linspace(0, 1, 100_001)
    area = np.trapezoid(certified_accuracy(CORRECT, RADIUS, radii), radii)
    assert average_certified_radius(CORRECT, RADIUS) == pytest.approx(area, abs=1e-5)


def test_lower_bound_by_hand():
    # 0.8 - 0.001 - sqrt(0.001 * 0.999 * ln(1000) / 500) - ln(1000) / 1500
    got = certified_accuracy_lower_bound(
        np.array([0.8, 0.001]), num_points=500, alpha=0.001, rho=0.001
    )
    np.testing.assert_allclose(got, [0.7906797666, 0.0], atol=1e-9)


@pytest.mark.parametrize(
    "wrong", [{"num_points": 0}, {"alpha": 1.0}, {"rho": 0.0}, {"rho": 1.5}]
)
def test_lower_bound_refuses_impossible_arguments(wrong):
    with pytest.raises(ValueError, match="lower bound needs"):
        certified_accuracy_lower_bound(
            np.array([0.8]), **({"num_points": 9, "alpha": 0.1, "rho": 0.1} | wrong)
        )


def test_no_rows_is_an_error_that_says_what_to_do():
    none, nothing = np.zeros(0, bool), np.zeros(0)
    for call in (
        lambda: certified_accuracy(none, nothing, np.array([0.1])),
        lambda: smoothed_accuracy(none),
        lambda: abstain_rate(np.zeros(0, int)),
        lambda: average_certified_radius(none, nothing),
    ):
        with pytest.raises(ValueError, match="certify at least one point"):
            call()
