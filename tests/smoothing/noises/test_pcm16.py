import decimal
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from advjax.smoothing import gaussian, pcm16
from advjax.smoothing.noises.pcm16 import (
    MOST_SAMPLES,
    _table,
    _weights,
    total_variation,
)

STEP = 1 / 32768
PI = decimal.Decimal("3.14159265358979323846264338327950288419716939937510582097494459")


def within(size, steps):
    """P(|n| < size) of a normal of `steps`, to 50 digits by its Taylor series."""
    z = size / decimal.Decimal(steps) / decimal.Decimal(2).sqrt()
    total = term = z
    for k in range(1, 400):
        term *= -z * z / k
        total += term / (2 * k + 1)
    return 2 * total / PI.sqrt()


@pytest.mark.parametrize("steps", [1.0, 3.7, 40.0])
def test_the_table_is_as_near_to_the_distribution_as_is_said(steps):
    found = _weights(steps * STEP).tolist()
    with decimal.localcontext(prec=80):
        edges = [within(k + decimal.Decimal("0.5"), steps) for k in range(len(found))]
        truth = [edges[0], *(b - a for a, b in zip(edges, edges[1:], strict=False))]
        far = [
            abs(k / decimal.Decimal(2**63) - p)
            for k, p in zip(found, truth, strict=True)
        ]
        variation = (sum(far) + 1 - edges[-1]) / 2
    assert sum(found) == 2**63
    assert 0 < variation < total_variation(steps * STEP)
    # The bound is not of another order either.
    assert float(variation) > 1e-4 * total_variation(steps * STEP)


@pytest.mark.parametrize("sigma", [STEP, 3.7 * STEP, 0.01])
def test_the_alias_table_holds_the_weights_to_the_last_bit(sigma):
    weights = _weights(sigma).tolist()
    accepted, alias = (a.tolist() for a in _table(sigma))
    share, found = 2**64 // len(accepted), [0] * len(accepted)
    for cell, (kept, other) in enumerate(zip(accepted, alias, strict=True)):
        found[cell] += kept
        found[other] += share - kept
    assert found[: len(weights)] == [2 * w for w in weights]
    assert not any(found[len(weights) :])


def draws(sigma, x, num):
    keys = jax.random.split(jax.random.key(0), num)
    noisy = jax.jit(jax.vmap(pcm16(sigma).sample, (0, None)))(keys, x)
    return np.asarray(noisy, np.float64) / STEP


def test_draws_follow_the_rounded_normal():
    steps, x = 3.7, jnp.full(1000, -7 * STEP)
    noise = draws(steps * STEP, x, 200).ravel() + 7
    whole = noise.astype(int)
    np.testing.assert_array_equal(whole, noise)
    edges = np.arange(-12, 14) - 0.5
    expected = np.diff(stats.norm.cdf(edges / steps)) * whole.size
    counts = np.histogram(whole, edges)[0]
    rest = whole.size - counts.sum(), whole.size - expected.sum()
    judged = np.append(counts, rest[0]), np.append(expected, rest[1])
    assert stats.chisquare(*judged).pvalue > 1e-3
    # The judge can reject: a deviation that is 2 % off.
    other = np.diff(stats.norm.cdf(edges / (1.02 * steps))) * whole.size
    other = np.append(other, whole.size - other.sum())
    assert stats.chisquare(judged[0], other).pvalue < 1e-3
    # The distribution is symmetric, its mean is x.
    error = noise.std() / math.sqrt(noise.size)
    assert abs(noise.mean()) < 4 * error


def test_many_steps_are_normal():
    noise = draws(0.25, jnp.zeros(1000), 100).ravel() * STEP
    assert stats.kstest(noise, stats.norm(scale=0.25).cdf).pvalue > 1e-3
    assert np.abs(noise).max() > 1


def test_sums_are_whole_steps_and_not_wrapped():
    x = jnp.array([1 - STEP, -1.0, 0.3], jnp.float32)
    noisy = draws(0.5, x, 2_000)
    np.testing.assert_array_equal(noisy, np.rint(noisy))
    assert noisy.max() > 32767
    assert noisy.min() < -32768
    # 0.3 is no whole step and was rounded: the same bits give the same noise.
    rounded = draws(0.5, jnp.rint(x / STEP) * STEP, 2_000)
    np.testing.assert_array_equal(noisy, rounded)


def test_the_radius_is_cohens_but_for_the_tables_error():
    for sigma in (0.01, 0.25, 4.06):
        error = MOST_SAMPLES * total_variation(sigma)
        assert error < 1e-7
        for p in (0.6, 0.99, 0.001 ** (1 / 100_000)):
            found, ideal = pcm16(sigma).radius(p), gaussian(sigma).radius(p)
            assert ideal * (1 - 1e-3) < found < ideal
            assert found == pytest.approx(sigma * stats.norm.ppf(p - error))
    assert pcm16(0.25).radius(0.5 + 1e-9) == 0.0


def test_what_is_no_16_bit_clip_is_refused():
    for sigma in (0.9 * STEP, 14.0):
        with pytest.raises(ValueError, match="between one step"):
            pcm16(sigma)
    distribution, key = pcm16(0.01), jax.random.key(0)
    with pytest.raises(ValueError, match="use float32"):
        distribution.sample(key, jnp.zeros(4, jnp.bfloat16))
    with pytest.raises(ValueError, match="at most"):
        jax.eval_shape(
            distribution.sample, key, jax.ShapeDtypeStruct((2**20 + 1,), jnp.float32)
        )
