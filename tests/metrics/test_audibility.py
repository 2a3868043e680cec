import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.metrics.audibility import (
    _gains,
    audible_excess,
    audible_share,
    smallest_audible_l2,
)
from advjax.signal.masking import (
    bark,
    bin_frequencies_hz,
    masking_threshold,
    perturbation_power,
)

RATE, SAMPLES = 16_000, 6000
threshold_of = jax.jit(functools.partial(masking_threshold, sample_rate_hz=RATE))


@pytest.fixture(scope="module")
def wave():
    shaped = np.random.default_rng(0).normal(size=SAMPLES).cumsum() * 0.005
    return jnp.asarray((shaped - shaped.mean()).clip(-1, 1), jnp.float32)


def tone(frame, bin, num_samples=SAMPLES):
    """The perturbation of norm 1 that does most for one bin, by NumPy's SVD."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(2048) / 2048)
    phase = 2 * np.pi * bin * np.arange(2048) / 2048
    rows = np.zeros((2, num_samples + 2048))
    span = slice(512 * frame, 512 * frame + 2048)
    rows[:, span] = window * np.stack([np.cos(phase), np.sin(phase)])
    _, values, directions = np.linalg.svd(rows[:, :num_samples], full_matrices=False)
    return values[0], jnp.asarray(directions[0], jnp.float32)


@pytest.mark.parametrize(
    ("frame", "bin"), [(0, 0), (1, 3), (2, 400), (3, 1024), (8, 50), (10, 7)]
)
def test_the_gain_of_a_bin_is_the_largest_singular_value(frame, bin):
    value, _ = tone(frame, bin)
    assert _gains(11, SAMPLES)[frame, bin] == pytest.approx(value, rel=1e-5)


def test_below_the_smallest_audible_norm_nothing_is_heard_and_at_it_something(wave):
    threshold = threshold_of(wave)
    norm = float(smallest_audible_l2(threshold, SAMPLES, sample_rate_hz=RATE))
    counted = bark(bin_frequencies_hz(RATE)) > 1

    def heard(delta):
        power = perturbation_power(delta, threshold.peak)
        return np.asarray(power > threshold.power) & counted

    # The bin that is reached first.
    ratio = threshold.power / _gains(len(threshold.power), SAMPLES) ** 2
    ratio = np.where(counted, ratio, np.inf)
    frame, bin = np.unravel_index(ratio.argmin(), ratio.shape)
    _, best = tone(frame, bin)
    assert not heard(0.999 * norm * best).any()
    assert heard(1.001 * norm * best)[frame, bin]
    for seed in range(20):
        other = jax.random.normal(jax.random.key(seed), (SAMPLES,))
        assert not heard(0.999 * norm * other / jnp.linalg.norm(other)).any()


def test_the_excess_is_zero_below_the_threshold_and_grows_above(wave):
    threshold = threshold_of(wave)
    noise = jax.random.normal(jax.random.key(0), (SAMPLES,))
    quiet, loud = 1e-7 * noise, 0.01 * noise
    assert float(audible_excess(quiet, threshold)) == 0
    power = np.asarray(perturbation_power(loud, threshold.peak))
    expected = np.maximum(power - np.asarray(threshold.power), 0).mean()
    assert float(audible_excess(loud, threshold)) == pytest.approx(expected, rel=1e-4)
    assert 0 < float(audible_share(loud, threshold)) <= 1
    gradient = jax.grad(audible_excess)(jnp.zeros(SAMPLES), threshold)
    assert (gradient == 0).all()
