import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from advjax.defences import Gradients, fused_adversarial, plain
from advjax.defences.fused_adversarial import mixture
from advjax.representations import Waveform
from advjax.training import Dataset, Objective, Recipe, fit
from advjax.types import Batch

KEY = jax.random.key(3)
EPS = 0.2


def apply(params, batch_stats, x, key, *, train=True):
    """Two layers with batch statistics and dropout."""
    h = x @ params["in"]
    mean = h.mean(axis=0) if train else batch_stats["mean"]
    h = jnp.tanh(h - mean[None])
    if train:
        h = jnp.where(jax.random.bernoulli(key, 0.8, h.shape), h, 0.0)
        mean = 0.9 * batch_stats["mean"] + 0.1 * mean
    stats = {"mean": mean, "count": batch_stats["count"] + 1}
    return h @ params["out"], stats


@functools.cache
def problem():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "in": jax.random.normal(keys[0], (6, 8)),
        "out": jax.random.normal(keys[1], (8, 3)),
    }
    stats = {"mean": jax.random.normal(keys[2], (8,)), "count": jnp.int32(0)}
    x = jax.random.normal(keys[3], (16, 6))
    return params, stats, Batch(x, jnp.arange(16) % 3)


def loss(params, x, *, train=True):
    _, stats, batch = problem()
    logits, _ = apply(params, stats, x, KEY, train=train)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
    return losses.mean()


def direction(params, x, norm, *, train=True):
    gradient = jax.grad(loss, argnums=1)(params, x, train=train)
    if norm == "linf":
        return jnp.sign(gradient)
    return gradient / jnp.linalg.norm(gradient, axis=1, keepdims=True)


def found(defence):
    params, stats, batch = problem()
    return jax.jit(lambda p: defence(apply, p, stats, batch, KEY))(params)


@functools.cache
def found_plainly():
    return found(plain())


def same(a, b, **tolerance):
    jax.tree.map(functools.partial(np.testing.assert_allclose, **tolerance), a, b)


@pytest.mark.parametrize(
    ("crafting", "norm", "alpha"),
    [
        ("training", "linf", 0.3),
        ("training", "l2", 0.0),
        ("evaluation", "linf", 0.0),
        ("evaluation", "l2", 0.3),
    ],
)
def test_gradients_are_those_of_separate_passes(crafting, norm, alpha):
    params, _, batch = problem()

    @jax.jit
    def separate(params):
        train = crafting == "training"
        step = EPS * direction(params, batch.x, norm, train=train)
        x_adv = jax.lax.stop_gradient(batch.x + step)
        mixed = lambda p: alpha * loss(p, batch.x) + (1 - alpha) * loss(p, x_adv)  # noqa: E731
        return jax.value_and_grad(mixed)(params)

    value, grads = separate(params)
    got = found(fused_adversarial(eps=EPS, alpha=alpha, norm=norm, crafting=crafting))
    same(got.params, grads, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(got.metrics["loss"], value, rtol=1e-6)


def test_no_gradient_flows_through_the_perturbation():
    # In l2, since the derivative of a sign is zero in any case.
    params, _, batch = problem()

    def propagated(params):
        x_adv = batch.x + EPS * direction(params, batch.x, "l2")
        return loss(params, x_adv)

    got = found(fused_adversarial(eps=EPS, alpha=0.0, norm="l2"))
    other = jax.jit(jax.grad(propagated))(params)
    assert np.abs(got.params["in"] - other["in"]).max() > 1e-3


def test_all_weight_on_the_clean_loss_is_plain_training():
    got = found(fused_adversarial(eps=EPS, alpha=1.0))
    expected = found_plainly()
    same(got.params, expected.params, rtol=1e-6, atol=1e-7)
    same(got.batch_stats, expected.batch_stats, rtol=1e-6)
    same(got.metrics["loss"], expected.metrics["loss"], rtol=1e-6)


def test_a_perturbation_below_rounding_is_plain_training():
    got, expected = found(fused_adversarial(eps=1e-12)), found_plainly()
    same(got.params, expected.params, rtol=1e-6, atol=1e-7)
    same(got.metrics["loss"], expected.metrics["loss"], rtol=1e-6)


def test_running_statistics_move_once_towards_the_mixture():
    params, stats, batch = problem()

    @jax.jit
    def shifted(params):
        return batch.x + EPS * direction(params, batch.x, "linf")

    means = [np.mean(x @ params["in"], axis=0) for x in (batch.x, shifted(params))]
    got = found(fused_adversarial(eps=EPS, alpha=0.3)).batch_stats
    expected = 0.9 * stats["mean"] + 0.1 * (0.3 * means[0] + 0.7 * means[1])
    np.testing.assert_allclose(got["mean"], expected, rtol=1e-5, atol=1e-6)
    assert int(got["count"]) == 1


def perturbed(defence, batch):
    """The adversarial batch, which the network returns as its batch statistics."""
    params, stats, _ = problem()

    def showing(params, batch_stats, x, key):
        return apply(params, stats, x, key)[0], {"x": x}

    return jax.jit(lambda batch: defence(showing, params, {}, batch, KEY))(batch)


def test_each_example_is_perturbed_by_its_own_budget():
    levels = jnp.array([1.0, 1e-3, 0.0])[:, None]
    batch = Batch(levels * jax.random.normal(KEY, (3, 6)), jnp.arange(3))
    got = perturbed(fused_adversarial(snr_db=20.0, alpha=0.0), batch)
    moved = np.abs(got.batch_stats["x"] - batch.x).max(axis=1)
    rms = np.sqrt(np.square(batch.x).mean(axis=1))
    np.testing.assert_allclose(moved, 0.1 * rms, rtol=1e-4)
    assert moved[2] == 0.0
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(got.params))


def test_the_perturbed_batch_stays_in_bounds():
    _, _, batch = problem()
    inside = batch._replace(x=jnp.clip(batch.x, -0.5, 0.5))
    defence = fused_adversarial(eps=EPS, alpha=0.0, bounds=(-0.5, 0.5))
    x_adv = perturbed(defence, inside).batch_stats["x"]
    assert np.abs(x_adv).max() <= 0.5
    assert np.abs(x_adv - inside.x).max() == pytest.approx(EPS)


def test_the_clean_pass_is_shared():
    params, stats, batch = problem()

    def products(program):
        return jax.jit(program).lower(params).as_text().count("dot_general")

    def fused(params):
        return fused_adversarial(eps=EPS)(apply, params, stats, batch, KEY).params

    def separate(params):
        clean = jax.grad(loss)(params, batch.x)
        x_adv = batch.x + EPS * direction(params, batch.x, "linf")
        adversarial = jax.grad(loss)(params, x_adv)
        return jax.tree.map(lambda a, b: 0.5 * (a + b), clean, adversarial)

    # Two layers: 2 products forwards, 3 back to the weights, one more to the input.
    assert products(fused) == (2 + 3 + 1) + (2 + 3)
    assert products(separate) == (2 + 3) + (2 + 2) + (2 + 3)


def test_metrics_are_mixed_as_the_loss_is():
    metrics = found(fused_adversarial(eps=1.0, alpha=0.25)).metrics
    clean, adversarial = metrics["clean_accuracy"], metrics["adversarial_accuracy"]
    assert adversarial < clean
    np.testing.assert_allclose(
        metrics["accuracy"], 0.25 * clean + 0.75 * adversarial, rtol=1e-6
    )


def test_a_part_without_weight_cannot_spoil_the_rest():
    part = lambda value: Gradients(  # noqa: E731
        jnp.float32(value), {}, {"loss": jnp.float32(1), "accuracy": jnp.float32(1)}
    )
    assert mixture(part(1), part(np.nan), 1.0).params == 1
    assert mixture(part(np.nan), part(1), 0.0).params == 1
    assert mixture(part(1), part(5), 0.25).params == 4


class Tiny(nn.Module):
    """A network with dropout and batch norm, which differ between the modes."""

    num_classes: int = 2

    @nn.compact
    def __call__(self, x, *, train: bool):
        x = nn.BatchNorm(use_running_average=not train)(x)
        x = nn.Dropout(0.2, deterministic=not train)(x)
        return nn.Dense(self.num_classes)(x)


def test_fit_lets_a_defence_craft_in_evaluation_mode():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 16).astype(np.int32)
    data = Dataset(rng.normal(0, 1, (16, 8)).astype(np.float32), y)

    def weights(crafting):
        classifier = fit(
            Tiny(),
            Waveform(num_samples=8),
            data,
            data,
            KEY,
            labels=("low", "high"),
            objective=Objective(
                at="waveform",
                gradients=fused_adversarial(eps=1.0, crafting=crafting),
            ),
            recipe=Recipe(num_steps=1, batch_size=13, validate_every=1),
        )
        return classifier.variables["params"]["Dense_0"]["kernel"]

    assert (weights("training") != weights("evaluation")).any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({}, "one of the two"),
        ({"eps": 0.1, "snr_db": 30.0}, "one of the two"),
        ({"eps": 0.0}, "eps must be positive"),
        ({"eps": -1.0}, "eps must be positive"),
        ({"eps": math.nan}, "eps must be positive"),
        ({"snr_db": math.inf}, "snr_db must be finite"),
        ({"eps": 0.1, "alpha": 1.5}, "between 0 and 1"),
        ({"eps": 0.1, "alpha": -0.1}, "between 0 and 1"),
        ({"eps": 0.1, "norm": "l1"}, "linf, l2"),
        ({"eps": 0.1, "crafting": "both"}, "training or evaluation"),
        ({"eps": 0.1, "bounds": (1.0, 0.0)}, "least value"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        fused_adversarial(**options)
