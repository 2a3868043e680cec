import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from advjax.attacks import pgd, run
from advjax.defences import fused_adversarial, pgd_adversarial, plain
from advjax.types import Batch

KEY = jax.random.key(1)
EPS = 0.3


@functools.cache
def problem():
    keys = jax.random.split(jax.random.key(0), 4)
    params = [
        2 * jax.random.normal(key, shape)
        for key, shape in zip(keys, [(6, 16), (16, 16), (16, 3)], strict=False)
    ]
    batch = Batch(jax.random.normal(keys[3], (32, 6)), jnp.arange(32) % 3)
    return params, batch


def logits_fn(params, x):
    return jnp.tanh(jnp.tanh(x @ params[0]) @ params[1]) @ params[2]


def apply(params, batch_stats, x, key, *, train=True):
    del key, train
    return logits_fn(params, x), {"seen": batch_stats["seen"] + 1}


def found(defence, network=apply):
    params, batch = problem()
    stats = {"seen": jnp.int32(0)}
    return jax.jit(lambda p: defence(network, p, stats, batch, KEY))(params)


@functools.cache
def found_plainly():
    return found(plain())


@pytest.mark.parametrize(("norm", "alpha"), [("linf", 0.0), ("l2", 0.5)])
def test_gradients_are_those_of_the_attack_and_then_the_loss(norm, alpha):
    params, batch = problem()
    # The attack on single examples, independent as there are no batch statistics.
    attack = pgd(
        num_steps=4, norm=norm, random_start=False, stop="last", bounds=(-1.5, 1.5)
    )

    @jax.jit
    def separate(params):
        one = lambda x, y: run(  # noqa: E731
            attack, functools.partial(logits_fn, params), x, y, KEY, EPS
        )
        x_adv = jax.vmap(one)(batch.x, batch.y).x_adv

        def loss(params, x):
            losses = optax.softmax_cross_entropy_with_integer_labels(
                logits_fn(params, x), batch.y
            )
            return losses.mean()

        return jax.value_and_grad(
            lambda p: alpha * loss(p, batch.x) + (1 - alpha) * loss(p, x_adv)
        )(params)

    value, grads = separate(params)
    got = found(
        pgd_adversarial(
            eps=EPS,
            num_steps=4,
            norm=norm,
            alpha=alpha,
            random_start=False,
            bounds=(-1.5, 1.5),
        )
    )
    np.testing.assert_allclose(got.metrics["loss"], value, rtol=1e-5)
    for a, b in zip(got.params, grads, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    # The ascent does not change the running statistics.
    assert int(got.batch_stats["seen"]) == 1


def test_it_raises_the_loss_more_than_one_step():
    one = found(fused_adversarial(eps=EPS, alpha=0.0)).metrics["loss"]
    many = found(pgd_adversarial(eps=EPS)).metrics["loss"]
    clean = found_plainly().metrics["loss"]
    assert many > 1.05 * one and one > clean


@jax.jit(static_argnums=0)
def ends(options, batch, key):
    """The adversarial batch, which the network returns as its batch statistics."""
    params, _ = problem()
    showing = lambda params, _, x, key: (logits_fn(params, x), {"x": x})  # noqa: E731
    defence = pgd_adversarial(**dict(options))
    return defence(showing, params, {}, batch, key).batch_stats["x"]


@pytest.mark.parametrize(("norm", "order"), [("linf", np.inf), ("l2", 2)])
def test_every_example_ends_within_its_own_budget(norm, order):
    _, batch = problem()
    batch = batch._replace(x=batch.x * jnp.linspace(0, 1, 32)[:, None])
    options = (("snr_db", 20.0), ("norm", norm), ("num_steps", 3))
    moved = np.linalg.norm(ends(options, batch, KEY) - batch.x, order, axis=1)
    size = 6 if norm == "l2" else 1
    budgets = 0.1 * np.sqrt(size * np.square(batch.x).mean(axis=1))
    assert (moved <= budgets * (1 + 1e-5) + 1e-7).all()
    # Large steps end on the sphere or in a corner of the box.
    assert np.median(moved[1:] / budgets[1:]) > 0.95
    assert moved[0] == 0.0


def test_starts_are_random_and_come_from_the_key():
    _, batch = problem()
    # Such short steps end close to the start.
    options = (("eps", EPS), ("num_steps", 1), ("relative_step", 1e-9))
    first, again, other = (
        np.asarray(ends(options, batch, jax.random.key(seed)) - batch.x)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.1 * EPS
    assert 0.9 * EPS < np.abs(first).max() <= EPS * (1 + 1e-5)
    # Starts are uniform in the box and differ between examples.
    assert first.std() == pytest.approx(EPS / np.sqrt(3), rel=0.1)
    assert np.abs(first[0] - first[1]).max() > 0.1 * EPS


def few_strong_and_many_weak_entries():
    """Two classes that weak entries separate until an attacker moves these."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 256).astype(np.int32)
    means = np.concatenate([np.full(2, 1.0), np.full(30, 0.25)])
    x = rng.normal(0, 0.5, (256, 32)) + np.where(y, 1.0, -1.0)[:, None] * means
    return Batch(jnp.asarray(x, jnp.float32), jnp.asarray(y))


@pytest.mark.parametrize("build", [fused_adversarial, pgd_adversarial])
def test_training_leaves_a_network_harder_to_attack(build):
    batch = few_strong_and_many_weak_entries()

    def line(params, batch_stats, x, key):
        del key
        return x @ params, batch_stats

    @jax.jit
    def robustness(weights):
        attack = pgd(num_steps=10, bounds=(-np.inf, np.inf))
        one = lambda x, y: run(  # noqa: E731
            attack, lambda x: x @ weights, x, y, KEY, 0.4
        )
        return 1 - jax.vmap(one)(batch.x, batch.y).success.mean()

    def trained(defence):
        def step(_, params):
            return params - 0.5 * defence(line, params, {}, batch, KEY).params

        return jax.jit(lambda w: jax.lax.fori_loop(0, 100, step, w))(jnp.zeros((32, 2)))

    robust, fragile = (robustness(trained(d)) for d in (build(eps=0.4), plain()))
    assert robust > fragile + 0.1


def test_crafting_in_evaluation_mode_climbs_that_network():
    # Evaluation mode prefers the wrong classes, so an ascent there is a descent in
    # training mode.
    def turned(params, batch_stats, x, key, *, train=True):
        logits, stats = apply(params, batch_stats, x, key)
        return (logits if train else -logits), stats

    clean = found_plainly().metrics["loss"]
    options = {"eps": EPS, "random_start": False}
    climbed = found(pgd_adversarial(**options), turned)
    descended = found(pgd_adversarial(**options, crafting="evaluation"), turned)
    assert descended.metrics["loss"] < clean < climbed.metrics["loss"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "one of the two"),
        ({"eps": -0.1}, "eps must be positive"),
        ({"eps": 0.1, "num_steps": 0}, "at least 1"),
        ({"eps": 0.1, "relative_step": 0.0}, "relative_step must be positive"),
        ({"eps": 0.1, "alpha": 2.0}, "between 0 and 1"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        pgd_adversarial(**options)
