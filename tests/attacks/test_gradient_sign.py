import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import bim, fgsm, noise, pgd, run
from advjax.attacks.objectives import cross_entropy, margin
from tests.problems import half_space, linear

NORMAL = np.array([3.0, -4.0, 0.5, 0.0], np.float32)
X = jnp.array([0.2, -0.1, 0.0, 0.1])
FREE = (-np.inf, np.inf)


def attacked(attack, budget, y=1, logits_fn=None, x=X):
    f = half_space(NORMAL) if logits_fn is None else logits_fn
    return run(attack, f, x, jnp.int32(y), jax.random.key(0), budget)


def test_fgsm_is_optimal_on_a_linear_classifier():
    # The logit moves by eps times the l1 norm of the normal, the most any step can.
    found = attacked(fgsm(bounds=FREE), 0.1)
    before, after = NORMAL @ X, NORMAL @ found.x_adv
    np.testing.assert_allclose(before - after, 0.1 * 7.5, rtol=1e-6)
    assert int(found.queries) == 1
    found = attacked(fgsm(norm="l2", bounds=FREE), 0.1)
    np.testing.assert_allclose(
        before - NORMAL @ found.x_adv, 0.1 * np.linalg.norm(NORMAL), rtol=1e-6
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("build", [fgsm, bim, pgd])
def test_success_begins_where_the_plane_is(build, norm):
    dual = {"linf": 1, "l2": 2}[norm]
    distance = float(NORMAL @ X) / np.linalg.norm(NORMAL, dual)
    attack = build(norm=norm, bounds=FREE)
    assert not attacked(attack, 0.99 * distance).success
    assert attacked(attack, 1.01 * distance).success


def test_first_stops_at_the_plane_and_last_goes_on():
    first = attacked(bim(num_steps=20, bounds=FREE), 1.0)
    last = attacked(bim(num_steps=20, stop="last", bounds=FREE), 1.0)
    assert first.success and last.success
    assert int(first.queries) < int(last.queries) == 20
    moved = [float(jnp.abs(r.x_adv - X).max()) for r in (first, last)]
    # One step is 0.05; the plane is 1.0 / 7.5 away.
    np.testing.assert_allclose(moved, [0.15, 1.0], rtol=1e-5)


def test_a_target_is_reached_and_counts_as_success():
    f = linear(np.eye(3), np.zeros(3))
    x = jnp.array([1.0, 0.5, 0.0])
    attack = pgd(targeted=True, bounds=FREE)
    found = attacked(attack, 0.6, y=2, logits_fn=f, x=x)
    assert found.success and int(f(found.x_adv).argmax()) == 2
    assert not attacked(attack, 0.4, y=2, logits_fn=f, x=x).success


def test_an_example_that_is_wrong_already_is_left_alone():
    found = attacked(bim(), 0.3, y=0)
    np.testing.assert_array_equal(found.x_adv, X)
    assert found.success and int(found.queries) == 1


def test_restarts_find_what_one_start_misses():
    # Adversarial only on a far, narrow shelf; the gradient elsewhere is zero.
    def shelf(x):
        return jnp.stack([jnp.float32(0.0), jnp.where(x[0] > 0.8, -1.0, 1.0)])

    x = jnp.zeros(1)
    one, many = (
        jax.vmap(
            lambda key, a=attack: run(a, shelf, x, jnp.int32(1), key, 1.0).success
        )(jax.random.split(jax.random.key(1), 200))
        for attack in (pgd(num_steps=2), pgd(num_steps=2, num_restarts=8))
    )
    # A start lands there with probability 0.1.
    assert 0.04 < one.mean() < 0.18
    assert 0.45 < many.mean() < 0.7


def test_without_success_the_end_with_the_highest_loss_is_kept():
    f = half_space(NORMAL)
    attack = pgd(num_steps=3, num_restarts=4, bounds=FREE)
    found = attacked(attack, 0.05)
    single = attacked(pgd(num_steps=3, bounds=FREE), 0.05)
    loss = functools.partial(cross_entropy, y=jnp.int32(1))
    assert not found.success
    assert loss(f(found.x_adv)) >= loss(f(single.x_adv))


@pytest.mark.parametrize("law", ["gaussian", "uniform", "sign"])
@pytest.mark.parametrize(("norm", "order"), [("l2", 2), ("linf", np.inf)])
def test_noise_has_the_norm_asked_for(law, norm, order):
    found = attacked(noise(law=law, norm=norm, bounds=FREE), 0.3)
    np.testing.assert_allclose(np.linalg.norm(found.x_adv - X, order), 0.3, rtol=1e-5)


def test_repeated_noise_stops_at_its_first_success():
    keys = jax.random.split(jax.random.key(0), 100)
    f = half_space(NORMAL)
    attack = noise(num_draws=20, bounds=FREE)
    found = jax.vmap(lambda key: run(attack, f, X, jnp.int32(1), key, 0.4))(keys)
    assert found.success.mean() > 0.9
    assert 1 <= int(found.queries.min()) < int(found.queries.max()) <= 19


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_objectives_fall_and_rise_with_the_label(loss):
    logits = jnp.array([2.0, -1.0, 0.5])
    np.testing.assert_allclose(margin(logits, jnp.int32(0)), 1.5)
    np.testing.assert_allclose(margin(logits, jnp.int32(2)), -1.5)
    np.testing.assert_allclose(
        cross_entropy(logits, jnp.int32(0)), -jax.nn.log_softmax(logits)[0], rtol=1e-6
    )
    assert attacked(pgd(loss=loss, bounds=FREE), 0.5).success


@pytest.mark.parametrize(
    ("build", "options", "complaint"),
    [
        (pgd, {"norm": "l7"}, "linf, l2"),
        (pgd, {"num_steps": 0}, "at least 1"),
        (pgd, {"stop": "never"}, "first or last"),
        (pgd, {"bounds": (1.0, -1.0)}, "least value"),
        (pgd, {"random_start": False, "num_restarts": 3}, "alike"),
        (noise, {"law": "pink"}, "gaussian, uniform, sign"),
    ],
)
def test_impossible_options_are_refused(build, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        build(**options)


def test_a_missing_budget_is_named():
    with pytest.raises(ValueError, match="keeps within a budget"):
        attacked(pgd(), None)
