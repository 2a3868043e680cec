import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from advjax.smoothing import gaussian, uniform

KEY = jax.random.key(3)


@pytest.mark.parametrize(
    ("distribution", "judge"),
    [
        (gaussian(0.25), stats.norm(scale=0.25)),
        (uniform(0.25), stats.uniform(-0.25, 0.5)),
    ],
    ids=["gaussian", "uniform"],
)
def test_noise_follows_its_distribution(distribution, judge):
    x = jnp.full((20_000,), 1.5)
    noise = np.asarray(distribution.sample(KEY, x)) - 1.5
    assert stats.kstest(noise, judge.cdf).pvalue > 1e-3
    # The judge can fail: it rejects a scale that is off by a tenth.
    assert stats.kstest(1.1 * noise, judge.cdf).pvalue < 1e-3


@pytest.mark.parametrize("distribution", [gaussian(1.0), uniform(1.0)])
def test_noise_for_low_precision_is_drawn_in_float32(distribution):
    x = jnp.zeros(4096, jnp.bfloat16)
    noisy = distribution.sample(KEY, x)
    assert noisy.dtype == jnp.bfloat16
    expected = distribution.sample(KEY, jnp.zeros(4096, jnp.float32)).astype(
        jnp.bfloat16
    )
    np.testing.assert_array_equal(np.asarray(noisy), np.asarray(expected))
    # Drawn in bfloat16, either distribution has at most a few hundred distinct values.
    assert len(np.unique(np.asarray(noisy, np.float32))) > 500


def test_noise_is_cast_after_it_is_added():
    x = jnp.full(1000, 1.0, jnp.bfloat16)
    noisy = gaussian(0.01).sample(KEY, x)
    wide = x.astype(jnp.float32) + 0.01 * jax.random.normal(KEY, (1000,), jnp.float32)
    np.testing.assert_array_equal(np.asarray(noisy), np.asarray(wide, noisy.dtype))


def test_radii_are_the_closed_forms():
    distribution = gaussian(0.25)
    assert distribution.norm == "l2"
    assert distribution.radius(0.9999309248) == pytest.approx(0.25 * 3.811457, abs=1e-6)
    assert distribution.radius(0.9889893404) == pytest.approx(0.25 * 2.2900, abs=2e-5)
    distribution = uniform(0.25)
    assert distribution.norm == "l1"
    assert distribution.radius(0.9) == pytest.approx(0.2)


@pytest.mark.parametrize("distribution", [gaussian(0.25), uniform(0.25)])
def test_no_radius_without_a_majority(distribution):
    assert distribution.radius(0.5) == distribution.radius(0.1) == 0.0


@pytest.mark.parametrize("distribution", [gaussian, uniform])
@pytest.mark.parametrize("scale", [0.0, -0.25, float("nan"), float("inf"), 1e-60, 1e60])
def test_scales_that_are_none_are_refused(distribution, scale):
    with pytest.raises(ValueError, match="positive"):
        distribution(scale)


def test_one_program_serves_every_sigma():
    traces = []

    @jax.jit
    def noisy(sample, key, x):
        traces.append(x.shape)
        return sample(key, x)

    x = jnp.zeros(5)
    small, large = (noisy(gaussian(s).sample, KEY, x) for s in (0.25, 0.5))
    assert len(traces) == 1
    np.testing.assert_allclose(2 * np.asarray(small), np.asarray(large), rtol=1e-6)
