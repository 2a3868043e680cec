"""Attacks on levels in decibels, from digital silence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import deepfool, lbfgs, run, run_batch
from advjax.attacks.dither import STEP_16_BITS, beside_silence
from advjax.padding import pad

FRAME = 64


@jax.tree_util.Partial
def by_level(x, length=None):
    """Two classes by the level of the second half, in the decibels of kapre.

    The root of the mean power of each frame, floored at 1e-10: class 1 is louder than
    -60 dB.
    """
    power = jnp.square(x.reshape(-1, FRAME)).mean(axis=1)
    levels = 10 * jnp.log10(jnp.maximum(jnp.sqrt(jnp.maximum(power, 1e-30)), 1e-10))
    loudness = levels[2:4].mean() / 10 + 3
    return jnp.stack([-loudness, loudness])


def clip():
    """A tone, and silence of the same length."""
    wave = np.zeros(4 * FRAME, np.float32)
    wave[: 2 * FRAME] = 0.5 * np.sin(0.3 * np.arange(2 * FRAME))
    return wave


SIZES = {"num_searches": 4, "num_steps": 60, "initial_c": 1e-2}
MADE = {
    "deepfool": (lambda **options: deepfool(**options), 0),
    "lbfgs": (lambda **options: lbfgs(**SIZES, targeted=True, **options), 1),
}


def attacked(name, **options):
    make, y = MADE[name]
    return run(
        make(**options), by_level, jnp.asarray(clip()), jnp.int32(y), jax.random.key(0)
    )


@pytest.mark.parametrize("name", MADE)
def test_silence_has_no_gradient_and_needs_a_dither(name):
    assert not np.asarray(jax.jacobian(by_level)(jnp.asarray(clip()))).any()
    assert not attacked(name).success
    found = attacked(name, dither=STEP_16_BITS)
    assert found.success
    delta = np.asarray(found.x_adv) - clip()
    snr_db = 10 * np.log10(np.sum(clip() ** 2) / np.sum(delta**2))
    # The boundary is 60 dB down, and the dither itself 90 dB.
    assert 40 < snr_db < 60


def test_only_silence_is_dithered_and_by_no_more_than_asked():
    x, key = jnp.asarray(clip()), jax.random.key(1)
    start = beside_silence(by_level, x, key, size=0.01, bounds=(-1.0, 0.004))
    moved = np.asarray(start != x)
    assert not moved[clip() != 0].any()
    assert moved[clip() == 0].mean() > 0.9
    silent = np.asarray(start)[clip() == 0]
    assert silent.max() <= 0.004 and -0.01 <= silent.min() < -0.009
    again = beside_silence(by_level, x, key, size=0.0, bounds=(-1.0, 1.0))
    np.testing.assert_array_equal(again, x)


@pytest.mark.parametrize("name", MADE)
def test_a_padded_clip_has_the_dither_of_its_own_length(name):
    make, y = MADE[name]
    attack, keys = make(dither=STEP_16_BITS), jax.random.split(jax.random.key(0), 1)
    labels = np.asarray([y], np.int32)

    def result(x):
        ((_, found),) = run_batch(attack, by_level, x, labels, keys)
        return found

    own, padded = result(clip()[None]), result(pad([clip()], 6 * FRAME))
    assert own.success and padded.success
    np.testing.assert_allclose(padded.x_adv[: len(clip())], own.x_adv[0:], atol=1e-6)


@pytest.mark.parametrize("attack", [deepfool, lbfgs])
@pytest.mark.parametrize("size", [-1e-5, float("inf"), float("nan")])
def test_an_impossible_dither_is_refused(attack, size):
    with pytest.raises(ValueError, match="dither"):
        attack(dither=size)
