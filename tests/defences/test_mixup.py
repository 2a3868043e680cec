"""Mixup, compared with its definition, and unverified labels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.defences import mixup
from advjax.types import Batch


def linear(params, batch_stats, x, key):
    del key
    return x @ params, batch_stats


@pytest.fixture
def batch():
    x = jax.random.normal(jax.random.key(0), (9, 4))
    return Batch(x, jnp.asarray([0, 1, 2, 0, 1, 2, 0, 1, 0]))


PARAMS = jax.random.normal(jax.random.key(1), (4, 3))


def shares(key, alpha=1.0):
    return np.asarray(jax.random.beta(jax.random.split(key)[0], alpha, alpha, (4,)))


def losses_by_hand(batch, share):
    x = share[:, None] * batch.x[:4] + (1 - share[:, None]) * batch.x[4:8]
    logs = jax.nn.log_softmax(x @ PARAMS)
    rows = np.arange(4)
    return -(share * logs[rows, batch.y[:4]] + (1 - share) * logs[rows, batch.y[4:8]])


def test_the_loss_is_that_of_mixed_inputs_and_labels(batch):
    key = jax.random.key(2)
    found = mixup()(linear, PARAMS, {}, batch, key)
    wanted = losses_by_hand(batch, shares(key)).mean()
    assert float(found.metrics["loss"]) == pytest.approx(float(wanted), rel=1e-5)


def test_an_unchecked_label_with_a_large_loss_counts_for_nothing(batch):
    key = jax.random.key(2)
    losses = np.asarray(losses_by_hand(batch, shares(key)))
    worst = int(losses.argmax())
    for masked in ([worst], [worst + 4], list(range(8))):
        verified = jnp.ones(9, bool).at[jnp.asarray(masked)].set(False)
        found = mixup(masking=0.8)(
            linear, PARAMS, {}, batch._replace(verified=verified), key
        )
        share = shares(key)
        doubt = 1.0 - np.asarray(verified, np.float32)
        doubt = share * doubt[:4] + (1 - share) * doubt[4:8]
        kept = (doubt <= 0.1) | (losses <= 0.8 * losses.max())
        wanted = np.where(kept, losses, 0).mean()
        assert float(found.metrics["loss"]) == pytest.approx(float(wanted), rel=1e-5)
    assert not kept[worst]


def test_checked_labels_are_never_masked(batch):
    key = jax.random.key(2)
    verified = batch._replace(verified=jnp.ones(9, bool))
    plain = mixup()(linear, PARAMS, {}, batch, key)
    found = mixup(masking=0.8)(linear, PARAMS, {}, verified, key)
    np.testing.assert_array_equal(plain.params, found.params)


@pytest.mark.parametrize(
    "options", [{"alpha": 0.0}, {"alpha": -1.0}, {"masking": 0.0}, {"masking": 1.5}]
)
def test_options_that_cannot_mix_are_refused(options):
    with pytest.raises(ValueError, match=r"alpha|masking"):
        mixup(**options)


def test_masking_without_knowing_what_was_verified_is_refused(batch):
    with pytest.raises(ValueError, match="leave it out"):
        mixup(masking=0.8)(linear, PARAMS, {}, batch, jax.random.key(0))


def test_auxiliary_heads_count_with_their_weight(batch):
    def two_heads(params, batch_stats, x, key):
        logits, stats = linear(params, batch_stats, x, key)
        return (logits, logits), stats

    key = jax.random.key(2)
    one = mixup()(linear, PARAMS, {}, batch, key).metrics["loss"]
    both = mixup()(two_heads, PARAMS, {}, batch, key).metrics["loss"]
    assert float(both) == pytest.approx(1.3 * float(one), rel=1e-5)


def test_one_example_cannot_be_mixed(batch):
    alone = Batch(batch.x[:1], batch.y[:1])
    with pytest.raises(ValueError, match="at least two"):
        mixup()(linear, PARAMS, {}, alone, jax.random.key(0))
