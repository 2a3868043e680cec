"""The strength of attacks, compared with Foolbox."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.problems import small_network

F = small_network(num_features=20)
X = np.random.default_rng(0).uniform(-0.7, 0.7, (24, 20)).astype(np.float32)
Y = np.asarray(jax.vmap(F)(jnp.asarray(X)).argmax(axis=1))


@pytest.mark.slow
def test_no_attack_is_weaker_than_foolbox():
    pytest.importorskip("foolbox")
    from experiments.benchmarks import foolbox_judge

    verdicts = list(
        foolbox_judge.judge(F, X, Y, bounds=(-1.0, 1.0), snr_db=16.0, cw_steps=60)
    )
    assert len(verdicts) == 10
    assert all(verdict.holds for verdict in verdicts), verdicts
    # Budgets at which some examples are misclassified and some are not.
    assert any(0 < verdict.success[1] < 1 for verdict in verdicts)
