"""Every distribution with a certificate, on a problem whose exact radius is known."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg, stats

from advjax import smoothing
from advjax.smoothing import Noise, Placement, coloured, gain, pcm16, uniform
from advjax.smoothing.bounds.clopper_pearson import clopper_pearson_lower
from advjax.smoothing.noises.coloured import spectral_gains
from tests.problems import distance, half_space

NUM_SAMPLES = 16
NUM_TRIALS, NUM_VOTES = 2_000, 200


class Problem(NamedTuple):
    """Class 1 wins at `x` with probability `p`, and up to `radius` away."""

    distribution: Noise
    normal: np.ndarray
    offset: float
    x: np.ndarray
    radius: float
    p: float


def uniform_problem():
    # The l1 distance is along the first axis, where one coordinate decides.
    x = np.array([0.2, 0.0])
    radius = distance([1.0, 0.0], 0.0, x, norm="l1")
    return Problem(uniform(0.5), np.array([1.0, 0.0]), 0.0, x, radius, 0.7)


def coloured_problem():
    rng, sigma = np.random.default_rng(0), 0.25
    gains = spectral_gains(
        rng.uniform(0.2, 2.0, NUM_SAMPLES // 2 + 1),
        num_samples=NUM_SAMPLES,
        sample_rate_hz=16_000,
    )
    distribution = coloured(sigma, num_samples=NUM_SAMPLES, curve=gains)
    normal = rng.normal(size=NUM_SAMPLES).astype(np.float32)
    matrix = linalg.circulant(np.fft.irfft(gains, NUM_SAMPLES))
    # Of y = A^-1 x the classifier is A normal, and one sigma away is the plane.
    length = np.linalg.norm(matrix @ normal)
    x = normal * (sigma * length / (normal @ normal))
    return Problem(distribution, normal, 0.0, x, sigma, stats.norm.cdf(1.0))


def gain_problem():
    # Class 1 while the level stays above 0.4 of the clip's.
    x = np.array([0.25, -0.5])
    normal = np.array([0.0, -2.0])
    radius, sigma = -np.log(0.4), 0.7
    return Problem(gain(sigma), normal, -0.4, x, radius, stats.norm.cdf(radius / sigma))


def pcm16_problem():
    # The plane lies between two steps, where rounding leaves it.
    step, sigma = 1 / 32768, 0.25
    x, offset = np.array([7000 * step, 0.5]), -0.5 * step
    radius = distance([1.0, 0.0], offset, x)
    p = stats.norm.cdf(radius / sigma)
    return Problem(pcm16(sigma), np.array([1.0, 0.0]), offset, x, radius, p)


PROBLEMS = {
    "uniform": uniform_problem,
    "coloured": coloured_problem,
    "gain": gain_problem,
    "pcm16": pcm16_problem,
}


@functools.cache
def votes_of(name):
    """Votes for class 1 in each of many independent counts."""
    problem = PROBLEMS[name]()
    logits_fn = half_space(problem.normal, problem.offset)
    x = jnp.asarray(problem.x, jnp.float32)

    @jax.jit
    def count(keys):
        def one(key):
            noisy = jax.vmap(problem.distribution.sample, (0, None))(
                jax.random.split(key, NUM_VOTES), x
            )
            return jax.vmap(logits_fn)(noisy).argmax(axis=1).sum()

        return jax.lax.map(one, keys, batch_size=100)

    return np.asarray(count(jax.random.split(jax.random.key(7), NUM_TRIALS)))


@pytest.mark.parametrize("name", PROBLEMS)
def test_certificates_approach_the_exact_radius(name):
    problem, votes = PROBLEMS[name](), int(votes_of(name).sum())
    num = NUM_TRIALS * NUM_VOTES
    assert stats.binomtest(votes, num, problem.p).pvalue > 1e-3
    found = problem.distribution.radius(float(clopper_pearson_lower(votes, num, 1e-3)))
    assert 0.98 * problem.radius < found <= problem.radius
    assert problem.distribution.radius(problem.p) == pytest.approx(
        problem.radius, rel=1e-6
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_certify_takes_the_distribution(name):
    problem = PROBLEMS[name]()
    found = smoothing.certify(
        half_space(problem.normal, problem.offset),
        jnp.asarray(problem.x, jnp.float32),
        jax.random.key(0),
        noise=problem.distribution,
        num_estimation=2_000,
        placement=Placement(500),
    )
    assert found.prediction == 1
    assert 0.7 * problem.radius < found.radius <= problem.radius


@pytest.mark.parametrize("name", PROBLEMS)
def test_certificates_are_wrong_at_most_alpha_of_the_time(name):
    problem, votes = PROBLEMS[name](), votes_of(name)

    def p_value(radii, alpha):
        wrong = sum(radius > problem.radius for radius in radii)
        return stats.binomtest(wrong, NUM_TRIALS, alpha, alternative="greater").pvalue

    for alpha in (0.05, 1e-3):
        p_lower = clopper_pearson_lower(votes, NUM_VOTES, alpha)
        found = [problem.distribution.radius(p) for p in p_lower.tolist()]
        assert p_value(found, alpha) > 1e-4
        assert np.mean([radius > 0 for radius in found]) > 0.9
        # The judge can reject: the share of votes instead of its bound is too bold.
        bold = [problem.distribution.radius(k / NUM_VOTES) for k in votes]
        assert p_value(bold, alpha) < 1e-4
