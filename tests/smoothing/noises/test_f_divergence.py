import functools
import math

import numpy as np
import pytest
from scipy import integrate, optimize, stats

from advjax.smoothing import Noise, VotePlan, gaussian, reach
from advjax.smoothing.bounds import ClopperPearson
from advjax.smoothing.noises.f_divergence import ORDERS, kl_radius, renyi_radius
from advjax.smoothing.noises.gaussian import gaussian_radius

ROOT = math.sqrt(2 * math.pi)
BOUNDS = [0.5 + 1e-3, 0.6, 0.9, 0.99, 0.999, 0.001 ** (1 / 100_000), 1 - 1e-9]


def divergence(order, first, second):
    """Renyi's, of two points' probabilities, by its definition."""
    if order == 1:
        return np.sum(first * np.log(first / second))
    return np.log(np.sum(first**order * second ** (1 - order))) / (order - 1)


def normal_divergence(order, radius):
    """Of unit normals `radius` apart, by quadrature."""

    def logarithms(t):
        return -((t - radius) ** 2) / 2, -(t**2) / 2

    def density(t):
        first, second = logarithms(t)
        if order == 1:
            return math.exp(first) * (first - second) / ROOT
        return math.exp(order * first + (1 - order) * second) / ROOT

    value = integrate.quad(density, -25, 30, points=[0, radius, order * radius])[0]
    return value if order == 1 else np.log(value) / (order - 1)


def worst_probability(order, radius, p):
    """The least probability of the top class within the divergence."""
    room = normal_divergence(order, radius)
    seen = np.array([p, 1 - p])

    def excess(q):
        return divergence(order, np.array([q, 1 - q]), seen) - room

    return optimize.brentq(excess, 1e-9, p) if excess(1e-9) > 0 else 0.0


@pytest.mark.parametrize("p", [0.6, 0.9, 0.99])
@pytest.mark.parametrize("order", [0.7, 1, 1.4, 3.0])
def test_radii_are_where_the_worst_two_point_law_is_a_fair_coin(order, p):
    radius = optimize.brentq(
        lambda r: worst_probability(order, r, p) - 0.5, 1e-3, gaussian_radius(1.0, p)
    )
    if order == 1:
        assert kl_radius(0.25, p) == pytest.approx(0.25 * radius, rel=1e-6)
    # One order certifies no more than the best one.
    assert radius <= renyi_radius(1.0, p) * (1 + 1e-4)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.99])
def test_renyis_best_order_is_that_of_a_search(p):
    def negative(order):
        return -optimize.brentq(
            lambda r: worst_probability(order, r, p) - 0.5,
            1e-3,
            gaussian_radius(1.0, p),
        )

    found = optimize.minimize_scalar(negative, bounds=(1.05, 3), method="bounded")
    assert ORDERS[0] < found.x < ORDERS[-1]
    assert renyi_radius(1.0, p) == pytest.approx(-found.fun, rel=1e-4)


@pytest.mark.parametrize("p", BOUNDS)
def test_no_divergence_passes_neyman_and_pearson(p):
    assert 0 < kl_radius(1.0, p) <= renyi_radius(1.0, p) < gaussian_radius(1.0, p)


@pytest.mark.parametrize("p", [0.6, 0.9, 0.99])
def test_hockey_sticks_reach_neyman_and_pearson(p):
    def certified(radius, b):
        # E_b of the normal distributions, and of a fair coin from one of p, for b >= 1.
        shift = np.log(b) / radius
        upper = stats.norm.cdf(radius / 2 - shift)
        distributions = upper - b * stats.norm.cdf(-radius / 2 - shift)
        return distributions < max(0.5 - b * p, 0) + max(0.5 - b * (1 - p), 0)

    exact, sticks = gaussian_radius(1.0, p), np.geomspace(1, 200, 4_000)
    assert any(certified(0.999 * exact, b) for b in sticks)
    assert not any(certified(1.001 * exact, b) for b in sticks)


@pytest.mark.parametrize("radius", [kl_radius, renyi_radius])
def test_a_divergence_is_a_radius_of_a_distribution(radius):
    assert radius(0.25, 0.5) == radius(0.25, 0.1) == 0.0
    distribution = Noise(gaussian(0.25).sample, functools.partial(radius, 0.25), "l2")
    plan = VotePlan(100, 1_000, 1e-3, ClopperPearson())
    p_lower = ClopperPearson.lower(1_000, 1_000, 1e-3)
    assert reach(distribution, plan).max_radius == radius(0.25, p_lower) > 0
