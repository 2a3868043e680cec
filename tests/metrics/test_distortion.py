import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.metrics.distortion import l0, l2, linf, radius_snr_db, relative_norm, snr_db

X = jnp.array([[3.0, 0.0], [0.0, 4.0]])  # norm 5
X_ADV = jnp.array([[3.0, -0.3], [0.4, 4.0]])  # changed by a vector of norm 0.5


def test_measures_of_a_change_by_three_four_five():
    assert l2(X, X_ADV) == pytest.approx(0.5, rel=1e-6)
    assert linf(X, X_ADV) == pytest.approx(0.4, rel=1e-6)
    assert l0(X, X_ADV) == 2
    assert relative_norm(X, X_ADV) == pytest.approx(0.1, rel=1e-6)
    assert snr_db(X, X_ADV) == pytest.approx(20.0, abs=1e-5)


def test_no_change_and_silence_have_no_nan():
    silence = jnp.zeros((2, 2))
    assert snr_db(X, X) == jnp.inf
    assert snr_db(silence, silence) == jnp.inf
    assert snr_db(silence, X) == -jnp.inf
    assert relative_norm(silence, silence) == 0
    assert l0(X, X) == 0


def test_snr_is_the_same_at_every_loudness_and_norms_scale():
    rng = np.random.default_rng(0)
    x, delta = (jnp.asarray(rng.normal(size=800), jnp.float32) for _ in range(2))
    for gain in (0.01, 7.0):
        got = snr_db(gain * x, gain * (x + delta))
        assert got == pytest.approx(float(snr_db(x, x + delta)), abs=1e-3)
        got = l2(gain * x, gain * (x + delta))
        assert got == pytest.approx(gain * float(l2(x, x + delta)), rel=1e-5)


def test_measures_work_under_vmap_and_jit():
    pairs = jnp.stack([X, X]), jnp.stack([X, X_ADV])
    for measure in (l0, l2, linf, relative_norm, snr_db):
        got = jax.jit(jax.vmap(measure))(*pairs)
        assert got.shape == (2,)
        np.testing.assert_allclose(got[1], measure(X, X_ADV), rtol=1e-6)


def test_half_precision_is_measured_in_single():
    x = jnp.full(4096, 1.0, jnp.bfloat16)
    x_adv = jnp.full(4096, 1.0078125, jnp.bfloat16)  # the next bfloat16
    assert l2(x, x_adv).dtype == jnp.float32
    assert l2(x, x_adv) == pytest.approx(64 * 0.0078125, rel=1e-6)


def test_radius_snr_of_jax_and_numpy_arrays():
    assert radius_snr_db(X, 0.5) == pytest.approx(20.0)
    assert radius_snr_db(np.asarray(X, np.float64), 5.0) == pytest.approx(0.0)
    # The radius says what a perturbation of that norm would measure.
    delta = jnp.array([[0.25, 0.0], [0.0, 0.0]])
    got = float(snr_db(X, X + delta))
    assert radius_snr_db(X, 0.25) == pytest.approx(got, abs=1e-4)


def test_radius_snr_at_the_edges():
    assert radius_snr_db(X, 0.0) == math.inf
    assert radius_snr_db(jnp.zeros((4,)), 0.1) == -math.inf
    assert radius_snr_db(jnp.zeros((4,)), 0.0) == math.inf
    for radius in (-0.1, math.nan):
        with pytest.raises(ValueError, match="never negative"):
            radius_snr_db(X, radius)
