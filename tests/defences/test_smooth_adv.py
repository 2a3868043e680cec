"""The attack on the smoothed classifier: its steps and its end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from advjax.defences import smooth_adv
from advjax.defences.noisy_copies import noisy_copies
from advjax.types import Batch

KEY = jax.random.key(3)
NOISE = {"sigma": 0.5, "num_noises": 3}
BATCH = Batch(jax.random.normal(jax.random.key(0), (16, 6)), jnp.arange(16) % 2)
KERNEL = jax.random.normal(jax.random.key(1), (6, 2))


def perturbations(eps, num_steps, kernel=KERNEL):
    """The perturbation of each copy, from the batch of a linear network."""

    def shows(params, _, x, key, *, train=True):
        del key, train
        return x @ params, x

    defence = smooth_adv(eps=eps, num_steps=num_steps, **NOISE)
    rows = jax.jit(lambda p: defence(shows, p, None, BATCH, KEY))(kernel).batch_stats
    drawn = noisy_copies(BATCH.x, jax.random.split(KEY)[0], **NOISE)
    return np.asarray(rows.reshape(16, 3, 6) - drawn)


@pytest.mark.parametrize("num_steps", [1, 4])
def test_against_a_line_it_walks_straight_at_the_other_class(num_steps):
    moved = perturbations(0.7, num_steps)
    # With two classes the direction is the difference of columns, whatever the noise.
    towards = np.asarray(KERNEL[:, 1] - KERNEL[:, 0])
    sign = np.where(np.asarray(BATCH.y) == 0, 1.0, -1.0)
    wanted = 0.7 * sign[:, None] * towards / np.linalg.norm(towards)
    np.testing.assert_allclose(moved, np.stack([wanted] * 3, axis=1), atol=1e-5)


def test_against_three_classes_it_ends_where_numpy_does():
    kernel = np.asarray(jax.random.normal(jax.random.key(5), (6, 3)))
    drawn = np.asarray(noisy_copies(BATCH.x, jax.random.split(KEY)[0], **NOISE))
    y, rows, delta = np.asarray(BATCH.y), np.arange(16), np.zeros((16, 6))
    for _ in range(5):
        p = scipy.special.softmax((drawn + delta[:, None]) @ kernel, axis=-1)
        # The gradient of the log of the mean of one class's softmax.
        slopes = p[rows, :, y][..., None] * (kernel.T[y][:, None] - p @ kernel.T)
        ascent = -slopes.mean(axis=1)
        ascent /= np.linalg.norm(ascent, axis=-1, keepdims=True)
        delta += 2 * 0.7 / 5 * ascent
        delta *= np.minimum(1, 0.7 / np.linalg.norm(delta, axis=-1, keepdims=True))
    moved = perturbations(0.7, 5, jnp.asarray(kernel))
    np.testing.assert_allclose(moved, np.stack([delta] * 3, axis=1), atol=1e-4)
    assert (np.linalg.norm(moved, axis=-1) <= 0.7 * (1 + 1e-5)).all()


def test_the_ascent_asks_the_network_as_it_is_certified():
    # In evaluation mode the slope, and so the perturbation, has the other sign.
    def two_faced(params, _, x, key, *, train=True):
        del key
        return x @ params if train else x @ -params, x

    defence = smooth_adv(eps=0.7, num_steps=1, **NOISE)
    rows = jax.jit(lambda p: defence(two_faced, p, None, BATCH, KEY))(KERNEL)
    drawn = noisy_copies(BATCH.x, jax.random.split(KEY)[0], **NOISE)
    moved = np.asarray(rows.batch_stats.reshape(16, 3, 6) - drawn)
    np.testing.assert_allclose(moved, -perturbations(0.7, 1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"eps": -0.1}, "eps must be finite and at least 0"),
        ({"eps": float("inf")}, "eps must be finite and at least 0"),
        ({"eps": 0.1, "num_steps": 0}, "num_steps=0: give at least 1"),
    ],
)
def test_impossible_attacks_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        smooth_adv(sigma=0.5, **options)
