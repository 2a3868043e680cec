"""Attacks and certificates in a process that computes in 64 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import attacks, smoothing

W = np.random.default_rng(0).normal(size=(4, 24))
X = np.random.default_rng(1).uniform(-0.1, 0.1, 24)
SMALL = {
    "pgd": {"norm": "l2", "num_steps": 2},
    "carlini_wagner": {"num_steps": 3, "num_searches": 1},
}


@pytest.fixture(autouse=True)
def in_64_bits():
    # As a process has it that only switches to 64 bits.
    with jax.enable_x64(True), jax.numpy_dtype_promotion("standard"):
        yield


def double(x):
    return jnp.asarray(W) @ x.astype(jnp.float64)


@pytest.mark.parametrize("name", ["noise", "jsma", "deepfool", *SMALL])
@pytest.mark.filterwarnings("ignore:x holds float64")
def test_attacks_run_in_float32(name):
    attack = attacks.ATTACKS[name](**SMALL.get(name, {}))
    found = attacks.run(
        attack, double, X, int(np.argmax(W @ X)), jax.random.key(0), 0.1
    )
    assert found.x_adv.dtype == jnp.float32


def test_votes_are_counted():
    found = smoothing.predict(
        double, X, jax.random.key(0), noise=smoothing.gaussian(0.01),
        num_samples=20, alpha=0.01,
    )  # fmt: skip
    assert found.prediction == np.argmax(W @ X)
