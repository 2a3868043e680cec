import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.surf_svm.machine import (
    Kernel,
    logits_of_pairs,
    machine_of,
    pair_decisions,
)

svm = pytest.importorskip("sklearn.svm")
KERNEL = Kernel(degree=3, gamma=1 / 12, coef0=1.0)
GENERATOR = np.random.default_rng(0)
UNSEEN = GENERATOR.normal(size=(40, 12)).astype(np.float32)


def fitted(num_classes, shape):
    x = GENERATOR.normal(size=(90, 12))
    y = np.arange(90) % num_classes
    x[np.arange(90), y] += 1
    machine = svm.SVC(kernel="poly", decision_function_shape=shape, **KERNEL._asdict())
    return machine.fit(x, y)


def decisions(machine, x=UNSEEN):
    found = machine_of(machine)
    return jax.jit(jax.vmap(lambda row: pair_decisions(found, KERNEL, row)))(x)


def logits_of(decisions, num_classes):
    by_row = jax.vmap(lambda row: logits_of_pairs(row, num_classes))
    return np.asarray(jax.jit(by_row)(decisions))


@pytest.mark.parametrize("num_classes", [3, 5])
def test_decisions_and_logits_are_those_of_scikit_learn(num_classes):
    ovo = fitted(num_classes, "ovo")
    np.testing.assert_allclose(decisions(ovo), ovo.decision_function(UNSEEN), atol=1e-4)
    ovr = fitted(num_classes, "ovr")
    logits = logits_of(decisions(ovr), num_classes)
    np.testing.assert_allclose(logits, ovr.decision_function(UNSEEN), atol=1e-4)
    # Without a tie the prediction is the same, too.
    votes = np.sort(np.floor(np.asarray(logits) + 0.5), axis=1)
    clear = votes[:, -1] > votes[:, -2]
    assert clear.sum() > 20
    assert (logits.argmax(axis=1) == ovr.predict(UNSEEN))[clear].all()


def test_two_classes_are_one_decision():
    machine = fitted(2, "ovr")
    logits = logits_of(decisions(machine), 2)
    expected = machine.decision_function(UNSEEN)
    np.testing.assert_allclose(logits[:, 1], expected, atol=1e-4)
    np.testing.assert_allclose(logits[:, 0], -expected, atol=1e-4)
    assert (logits.argmax(axis=1) == machine.predict(UNSEEN)).all()


def test_the_kernel_takes_powers_of_negative_bases():
    x = jnp.asarray([[-2.0, 0.0]])
    others = jnp.asarray([[3.0, 1.0]])
    kernel = jax.jit(lambda x, others: Kernel(3, 1.0, 1.0)(x, others))
    assert kernel(x, others)[0, 0] == pytest.approx(-125)
    gradient = jax.jit(jax.grad(lambda x: kernel(x, others).sum()))(x)
    np.testing.assert_allclose(gradient[0], [3 * 25 * 3, 3 * 25], rtol=1e-5)


def test_votes_have_a_gradient_that_an_attacker_can_follow():
    of_first = jax.jit(jax.grad(lambda d: logits_of_pairs(d, 3)[0]))
    gradient = np.asarray(of_first(jnp.asarray([-2.0, -2.0, 0])))
    # The first class's logit increases with the decisions of its pairs.
    assert (gradient[:2] > 0.05).all()
