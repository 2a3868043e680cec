import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import eps_for_dbfs, eps_for_snr
from advjax.attacks.balls import ball, unit

ORDER = {"linf": np.inf, "l2": 2}
BOTH = pytest.mark.parametrize("norm", ORDER)


@BOTH
def test_projection_is_the_nearest_point_inside(norm):
    generator = np.random.default_rng(0)
    inside = ball(norm, jnp.float32(0.7))
    delta = jnp.asarray(generator.normal(size=9), jnp.float32)
    found = np.asarray(inside.project(delta))
    assert np.linalg.norm(found, ORDER[norm]) <= 0.7 * (1 + 1e-6)
    others = generator.normal(size=(5000, 9))
    sizes = np.linalg.norm(others, ORDER[norm], axis=1, keepdims=True)
    others *= 0.7 * generator.uniform(0.9, 1, (5000, 1)) / sizes
    nearest = np.linalg.norm(others - np.asarray(delta), axis=1).min()
    assert np.linalg.norm(found - np.asarray(delta)) <= nearest
    np.testing.assert_array_equal(inside.project(0.01 * delta), 0.01 * delta)


@BOTH
def test_samples_fill_the_ball_evenly(norm):
    inside = ball(norm, jnp.float32(2.0))
    keys = jax.random.split(jax.random.key(0), 4000)
    drawn = jax.vmap(lambda key: inside.sample(key, jnp.zeros(3)))(keys)
    radii = np.linalg.norm(drawn, ORDER[norm], axis=1)
    assert radii.max() <= 2.0 * (1 + 1e-6)
    # The share of volume within half the radius, in three dimensions, is 1/8.
    assert abs((radii < 1.0).mean() - 1 / 8) < 0.02
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=0.06)


@BOTH
def test_no_direction_of_norm_one_rises_faster(norm):
    gradient = jnp.array([0.5, -2.0, 0.0, 1.0])
    steepest = np.asarray(ball(norm, jnp.float32(1.0)).steepest(gradient))
    others = np.random.default_rng(0).normal(size=(5000, 4))
    others /= np.linalg.norm(others, ORDER[norm], axis=1, keepdims=True)
    assert steepest @ gradient >= (others @ np.asarray(gradient)).max()


def test_tiny_and_zero_gradients_have_a_finite_direction():
    np.testing.assert_array_equal(unit(jnp.zeros(3)), 0)
    np.testing.assert_allclose(unit(jnp.array([3e-25, 4e-25])), [0.6, 0.8], rtol=1e-5)


@BOTH
def test_a_budget_in_decibels_is_met_by_a_full_step(norm):
    x = jnp.asarray(np.random.default_rng(0).normal(size=100), jnp.float32)
    eps = eps_for_snr(x, snr_db=20.0, norm=norm)
    delta = eps * ball(norm, eps).steepest(x**3)
    snr = 20 * np.log10(np.linalg.norm(x) / np.linalg.norm(delta))
    np.testing.assert_allclose(snr, 20.0, atol=1e-3)
    level = eps_for_dbfs(100, dbfs=-40.0, norm=norm)
    delta = level * ball(norm, level).steepest(x)
    np.testing.assert_allclose(np.sqrt(np.mean(delta**2)), 0.01, rtol=1e-5)


def test_no_level_belongs_to_counts():
    with pytest.raises(ValueError, match="linf or l2"):
        eps_for_snr(jnp.ones(3), snr_db=20.0, norm="l0")
