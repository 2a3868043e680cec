"""Noisy copies, their batch and their metrics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from advjax.defences import consistency, gaussian, macer, smooth_adv
from advjax.defences.noisy_copies import noisy_copies
from advjax.types import Batch

KEY = jax.random.key(3)
X = jax.random.normal(jax.random.key(0), (6, 5))
Y = jnp.arange(6) % 3
KERNEL = jax.random.normal(jax.random.key(1), (5, 3))


def linear(params, batch_stats, x, key, *, train=True):
    del key, train
    return x @ params, {"rows": len(x)}


def found(defence, apply=linear):
    step = jax.jit(lambda p: defence(apply, p, {}, Batch(X, Y), KEY))
    return step(KERNEL)


@pytest.mark.parametrize(
    "defence",
    [
        consistency(sigma=0.5, num_noises=1, lbd=0.0, eta=0.0),
        smooth_adv(sigma=0.5, num_noises=1, eps=0.0),
        macer(sigma=0.5, num_noises=1, lbd=0.0),
    ],
    ids=["consistency", "smooth_adv", "macer"],
)
def test_one_copy_and_nothing_more_is_gaussian_augmentation(defence):
    wanted, got = found(gaussian(sigma=0.5)), found(defence)
    np.testing.assert_allclose(got.params, wanted.params, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(got.metrics["loss"], wanted.metrics["loss"], rtol=1e-6)
    assert got.metrics["accuracy"] == wanted.metrics["accuracy"]


@pytest.mark.parametrize(
    "defence",
    [
        consistency(sigma=0.5, num_noises=4),
        smooth_adv(sigma=0.5, eps=0.1, num_noises=4),
        macer(sigma=0.5, num_noises=4),
    ],
    ids=["consistency", "smooth_adv", "macer"],
)
def test_one_pass_sees_all_copies(defence):
    assert found(defence).batch_stats["rows"] == 24


def test_copies_stand_by_their_example_and_their_noise_has_the_deviation():
    x = jnp.arange(40.0)[:, None] * 100 + jnp.zeros((40, 500))
    noise = np.asarray(noisy_copies(x, KEY, sigma=0.5, num_noises=3) - x[:, None])
    assert noise.shape == (40, 3, 500)
    assert noise.std() == pytest.approx(0.5, rel=0.02)
    assert np.abs(np.corrcoef(noise[0])[np.triu_indices(3, 1)]).max() < 0.2


def test_accuracy_is_the_share_of_copies_that_are_right():
    copies = noisy_copies(X, jax.random.split(KEY)[0], sigma=2.0, num_noises=8)
    right = (np.asarray(copies @ KERNEL).argmax(-1) == np.asarray(Y)[:, None]).mean()
    assert 0.2 < right < 0.8
    got = found(macer(sigma=2.0, num_noises=8)).metrics["accuracy"]
    assert got == pytest.approx(right, abs=1e-6)


@pytest.mark.parametrize("build", [consistency, macer])
def test_auxiliary_heads_add_three_tenths_of_their_loss(build):
    def two_heads(params, batch_stats, x, key):
        logits, stats = linear(params, batch_stats, x, key)
        return (logits, logits), stats

    defence = build(sigma=0.5, num_noises=2)
    one, both = (
        found(defence).metrics["loss"],
        found(defence, two_heads).metrics["loss"],
    )
    assert float(both) == pytest.approx(1.3 * float(one), rel=1e-5)


def rows_of_two_classes():
    """Examples of which the noise hides some."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 64).astype(np.int32)
    x = rng.normal(0, 0.3, (64, 8)) + np.where(y, 0.4, -0.4)[:, None]
    return Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y))


@pytest.mark.parametrize(
    "defence",
    [
        consistency(sigma=0.5),
        smooth_adv(sigma=0.5, eps=0.3),
        macer(sigma=0.5, num_noises=4),
    ],
    ids=["consistency", "smooth_adv", "macer"],
)
def test_training_lowers_the_loss(defence):
    batch, optimizer = rows_of_two_classes(), optax.sgd(0.05)

    @jax.jit
    def trained(params):
        def step(params, key):
            got = defence(linear, params, {}, batch, key)
            updates, _ = optimizer.update(got.params, optimizer.init(params))
            return optax.apply_updates(params, updates), got.metrics["loss"]

        return jax.lax.scan(step, params, jax.random.split(KEY, 30))[1]

    losses = np.asarray(trained(jax.random.normal(jax.random.key(1), (8, 2))))
    assert losses[-5:].mean() < 0.7 * losses[0]


@pytest.mark.parametrize("build", [consistency, smooth_adv, macer])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sigma": 0.0}, "sigma must be positive"),
        ({"sigma": float("nan")}, "sigma must be positive"),
        ({"sigma": 0.5, "num_noises": 0}, "give at least 1"),
    ],
)
def test_impossible_copies_are_refused(build, options, message):
    budget = {"eps": 0.1} if build is smooth_adv else {}
    with pytest.raises(ValueError, match=message):
        build(**options, **budget)
