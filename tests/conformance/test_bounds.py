"""Every bound keeps the contract of `Bound`."""

import jax
import numpy as np
import pytest

from advjax.smoothing import (
    BOUNDS,
    Example,
    Placement,
    VotePlan,
    certify_each,
    gaussian,
    reach,
)
from tests.problems import half_space

ALPHA = 0.01
SIGMAS_AWAY = (-0.3, 0.0, 0.8, 2.0)


@pytest.fixture(params=BOUNDS)
def bound(request):
    return BOUNDS[request.param]((0.1, 0.3))


@pytest.fixture
def plan(bound):
    return VotePlan(20, 200, ALPHA, bound)


def test_the_bound_rises_with_the_votes_up_to_unanimity(bound):
    lower = [bound.lower(votes, 100, ALPHA) for votes in range(0, 101, 10)]
    assert lower == sorted(lower) and 0.0 <= lower[0] < 0.01
    assert bound.unanimous(100, ALPHA) == pytest.approx(lower[-1])
    assert all(p <= k / 10 for k, p in enumerate(lower))


def test_certificates_rest_on_the_votes_that_the_plan_allows(bound, plan):
    noise = gaussian(0.25)
    examples = [
        Example(np.float32([0.25 * away, 0.0]), jax.random.key(seed))
        for seed, away in enumerate(SIGMAS_AWAY)
    ]
    tallies = {}
    found = dict(
        certify_each(
            half_space([1.0, 0.0]), examples, noise=noise, plan=plan,
            placement=Placement(tile=10, chunk=2), on_tally=tallies.__setitem__,
        )
    )  # fmt: skip
    assert sorted(found) == list(range(len(SIGMAS_AWAY))) and tallies
    cap = reach(noise, plan).max_radius
    drawn = np.array([c.num_estimation for c in found.values()])
    assert drawn.max() <= 200 and (bound.stops_early or drawn.min() == 200)
    low, high = bound.extremes(
        np.array([c.votes for c in found.values()]), drawn, num_estimation=200,
        alpha=ALPHA,
    )  # fmt: skip
    for c, least, most in zip(found.values(), low, high, strict=True):
        assert least - 1e-12 <= c.p_lower <= most + 1e-12
        assert c.radius <= cap
        assert (c.prediction >= 0) == (c.p_lower >= 0.5)


def test_each_bound_bears_the_name_it_is_found_by():
    assert {name: bound.name for name, bound in BOUNDS.items()} == {
        name: name for name in BOUNDS
    }
