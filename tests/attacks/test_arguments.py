"""Arguments of attacks that are accepted, cast or refused with a message."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import attacks
from advjax.attacks import batches

GENERATOR = np.random.default_rng(0)
W = jnp.asarray(GENERATOR.normal(size=(4, 6)), jnp.float32)
X = GENERATOR.uniform(-0.5, 0.5, (3, 6)).astype(np.float32)
Y = np.asarray((X @ np.asarray(W).T).argmax(-1))
KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 3)
FGSM = attacks.fgsm()


def refused(message, *, f=lambda x: W @ x, **given):
    one = {"x": X[0], "y": Y[0], "key": KEY, "budget": 0.1} | given
    with pytest.raises(ValueError, match=message):
        attacks.run(FGSM, f, **one)


def refused_batch(message, *, attack=FGSM, f=lambda x: W @ x, **given):
    many = {"x": X, "y": Y, "keys": KEYS, "budget": 0.1} | given
    with pytest.raises(ValueError, match=message):
        list(attacks.run_batch(attack, f, **many))


@pytest.mark.parametrize("y", [4, -1, 7])
def test_labels_that_are_no_class(y):
    refused("is no class.*0 to 3", y=y)
    refused_batch("is no class.*0 to 3", y=np.array([0, y, 1]))


def test_labels_of_another_form():
    refused("the labels hold float32", y=np.float32(1.7))
    refused_batch("the labels hold float64", y=Y + 0.5)
    refused("one-hot", y=np.eye(4, dtype=int)[1])
    refused_batch("one-hot", y=np.eye(4, dtype=int)[Y])
    refused_batch("3 of them", y=Y[:2])
    refused("the labels hold bool", y=True)


@pytest.mark.parametrize("budget", [-0.1, np.nan, np.inf])
def test_budgets_that_are_none(budget):
    refused("budget=", budget=budget)
    refused_batch("budget=", budget=np.float32([0.1, budget, 0.1]))
    refused("budget=", budget="40dB")
    refused_batch("one an example", budget=np.float32([0.1, 0.1]))


def test_examples_of_another_form():
    refused("outside the attack's bounds", x=3 * X[0] / abs(X[0]).max())
    refused_batch("outside the attack's bounds", x=5000 * X)
    refused("int16", x=np.arange(6, dtype=np.int16))
    refused_batch("int16", x=np.zeros((3, 6), np.int16))
    refused("NaN", x=np.full(6, np.nan, np.float32))
    refused_batch("3 examples", keys=KEYS[:2])
    refused_batch("keys: 0", keys=0)
    refused("key=0", key=0)
    refused(r"shape \(3, 6\)", x=X)


def test_answers_that_are_no_logits():
    refused("not finite", f=lambda x: W @ x * jnp.nan)
    refused_batch("not finite", f=lambda x: W @ x * jnp.nan)
    refused("probabilities", f=lambda x: jax.nn.softmax(W @ x))
    refused_batch("probabilities", f=lambda x: jax.nn.softmax(W @ x))
    late = np.concatenate([X, X[:1] * 0])
    refused_batch(
        "not finite", f=lambda x: W @ (x / abs(x).max()), x=late,
        y=np.append(Y, 0), keys=jax.random.split(KEY, 4),
    )  # fmt: skip


def test_a_long_attack_is_refused_before_it_begins():
    endless = attacks.pgd(num_steps=10**9)
    refused_batch("probabilities", attack=endless, f=lambda x: jax.nn.softmax(W @ x))


def test_a_single_step_costs_no_pass_more(monkeypatch):
    monkeypatch.setattr(batches, "_check_outputs", None)
    rows = attacks.run_batch(FGSM, lambda x: W @ x, X, Y, KEYS, 0.1)
    assert len([*rows]) == len(X)


def test_logits_that_sum_to_one_by_chance_pass():
    found = attacks.run(
        attacks.fgsm(), lambda x: x[:2], np.float32([0.25, 0.75]), 1, KEY, 0.1
    )
    assert not found.success


def test_in_a_trace_what_is_wrong_ends_without_success():
    run = jax.jit(
        lambda x, y, budget: (
            attacks.run(
                attacks.pgd(num_steps=2), lambda x: W @ x, x, y, KEY, budget
            ).success
        )
    )
    assert run(X[0], jnp.int32((int(Y[0]) + 1) % 4), 0.1)
    assert not run(X[0], jnp.int32(9), 0.1)
    assert not run(X[0], jnp.int32(-1), 0.1)
    assert not run(100 * X[0], jnp.int32(Y[0]), 0.1)
    assert not run(X[0], jnp.int32((int(Y[0]) + 1) % 4), -0.1)


@pytest.mark.parametrize("dtype", [np.float64, np.float16, jnp.bfloat16])
def test_other_floats_are_cast_and_it_is_said(dtype):
    with pytest.warns(UserWarning, match="cast to float32"):
        found = attacks.run(
            attacks.fgsm(), lambda x: W @ x, X[0].astype(dtype), Y[0], KEY, 0.1
        )
    assert found.x_adv.dtype == np.float32
    with pytest.warns(UserWarning, match="cast to float32"):
        list(
            attacks.run_batch(
                attacks.fgsm(), lambda x: W @ x, X.astype(dtype), Y, KEYS, 0.1
            )
        )
