import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from advjax.smoothing import gain
from advjax.smoothing.noises.gain import DB_PER_NEPER


def test_a_copy_is_the_clip_times_a_log_normal_gain():
    x = jnp.array([0.5, -0.25, 0.0])
    keys = jax.random.split(jax.random.key(0), 5_000)
    copies = np.asarray(jax.jit(jax.vmap(gain(0.3).sample, (0, None)))(keys, x))
    factors = copies[:, 0] / 0.5
    np.testing.assert_allclose(copies, factors[:, None] * np.asarray(x), rtol=1e-6)
    assert stats.kstest(factors, stats.lognorm(0.3).cdf).pvalue > 1e-3
    assert stats.kstest(factors, stats.lognorm(0.33).cdf).pvalue < 1e-3


def test_the_radius_is_in_nepers():
    distribution = gain(3 / DB_PER_NEPER)
    assert distribution.norm == "gain"
    # Of one deviation: 3 dB, a ratio of amplitudes of sqrt(2) nearly.
    radius = distribution.radius(stats.norm.cdf(1.0))
    assert radius * DB_PER_NEPER == pytest.approx(3.0)
    assert np.exp(radius) == pytest.approx(10 ** (3 / 20))


def test_low_precision_is_multiplied_in_float32():
    x = jnp.linspace(0.1, 1.0, 100, dtype=jnp.bfloat16)
    sample = jax.jit(gain(0.3).sample)
    expected = sample(jax.random.key(0), x.astype(jnp.float32)).astype(jnp.bfloat16)
    np.testing.assert_array_equal(sample(jax.random.key(0), x), expected)
