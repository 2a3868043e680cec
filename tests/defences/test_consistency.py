"""The consistency term, compared with NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import scipy.stats

from advjax.defences import consistency
from advjax.types import Batch

KEY = jax.random.key(3)
Y = np.asarray([0, 2, 1, 1])
LOGITS = 3 * np.random.default_rng(0).standard_normal((4, 3, 3)).astype(np.float32)


def loss(logits, **options):
    """The defence's loss for a network whose outputs are the rows of `logits`."""

    def answers(params, batch_stats, x, key):
        del x, key
        return params.reshape(-1, params.shape[-1]), batch_stats

    defence = consistency(sigma=1.0, num_noises=logits.shape[1], **options)
    batch = Batch(jnp.zeros((len(logits), 2)), jnp.asarray(Y[: len(logits)]))
    step = jax.jit(lambda params: defence(answers, params, {}, batch, KEY))
    got = step(jnp.asarray(logits))
    return float(got.metrics["loss"]), np.asarray(got.params)


def test_the_loss_is_cross_entropy_divergence_and_entropy():
    each = scipy.special.softmax(LOGITS.astype(np.float64), axis=-1)
    mean = each.mean(axis=1)
    right = -np.log(each[np.arange(4), :, Y]).mean()
    divergence = scipy.stats.entropy(mean[:, None], each, axis=-1).mean()
    entropy = scipy.stats.entropy(mean, axis=-1).mean()
    wanted = right + 7.0 * divergence + 0.3 * entropy
    assert loss(LOGITS, lbd=7.0, eta=0.3)[0] == pytest.approx(wanted, rel=1e-5)


def test_copies_that_agree_pay_nothing_for_it():
    same = np.broadcast_to(LOGITS[:, :1], LOGITS.shape)
    without = loss(same, lbd=0.0, eta=0.0)[0]
    assert loss(same, lbd=20.0, eta=0.0)[0] == pytest.approx(without, rel=1e-5)
    assert loss(LOGITS, lbd=20.0, eta=0.0)[0] > loss(LOGITS, lbd=0.0, eta=0.0)[0] + 1


def test_copies_that_are_sure_and_disagree_have_a_finite_gradient():
    sure = np.asarray([[[500.0, 0.0, 0.0], [0.0, 500.0, 0.0]]], np.float32)
    value, grads = loss(sure)
    assert np.isfinite(value) and np.isfinite(grads).all() and np.abs(grads).max() > 0


@pytest.mark.parametrize("options", [{"lbd": -1.0}, {"eta": float("nan")}])
def test_impossible_weights_are_refused(options):
    with pytest.raises(ValueError, match="must be finite and at least 0"):
        consistency(sigma=0.5, **options)
