"""Snapshots of earlier versions, whose states were flat, stay readable."""

import operator
import pathlib

import jax.numpy as jnp
import numpy as np
import pytest

from advjax import attacks
from advjax.attacks import snapshots
from tests.problems import linear

FOLDER = pathlib.Path(__file__).parent / "earlier_snapshots"
F = linear(np.float32([[1, -2, 0.5], [-1, 1, 2], [0.3, 0.4, -1]]), np.zeros(3))
X = np.float32([[0.2, -0.3, 0.1], [-0.4, 0.3, 0.6]])
CASES = {
    "lbfgs": (
        attacks.lbfgs(num_searches=6, num_steps=20),
        {
            "common.queries": [11, 11],
            "current.loss": [0.318972, 0.516202],
            "current.hit": [True, False],
            "length": [1, 1],
            "memory.count": [3, 4],
            "step": [3, 3],
            "search.num_runs": [2, 2],
            "search.c": [1, 1],
            "search.low": [0.1, 0.1],
            "search.high": [np.inf, np.inf],
            "best": [0.199249, 1.284646],
        },
    ),
    "carlini_wagner_l0": (
        attacks.carlini_wagner(norm="l0", num_steps=12),
        {
            "common.queries": [8, 8],
            "descent.step": [0, 8],
            "descent.reference": [np.inf, 0.890267],
            "c": [1, 1],
            "entries.free": [[False, True, False], [True, True, True]],
            "entries.worth": [[np.inf, 0.696019, 0.442556], [np.inf] * 3],
            "entries.share": [0.5, 0.5],
            "entries.num_fixed": [1, 0],
            "best": [2, 4],
            "rate": [0.05, 0.05],
        },
    ),
    "expectation_of_l2": (
        attacks.expectation(
            attacks.carlini_wagner(num_steps=12, num_searches=4),
            sample=lambda key, x: x,
            num_samples=2,
        ),
        {
            "common.queries": [46, 34],
            "inner.common.queries": [23, 17],
            "inner.search.num_runs": [4, 4],
            "inner.search.c": [0.0625, 0.0625],
            "inner.search.low": [0, 0],
            "inner.search.high": [0.125, 0.125],
            "inner.found": [False, False],
            "inner.best": [0.148499, 0.575568],
            "inner.rate": [0.05, 0.05],
            "step": [23, 17],
        },
    ),
    "partial_information": (
        attacks.partial_information(starts=X[[0, 1, 0]], num_samples=4, max_queries=90),
        {
            "common.budget": [0.2, 0.2],
            "common.queries": [12, 16],
            "box.radius": [0.33, 0.42],
            "box.eps": [0.42, 0.465],
            "box.start_eps": [0.6, 0.6],
            "box.delta_eps": [0.18, 0.09],
            "step": [2, 2],
            "estimates.gradient": [
                [-0.022855, -0.007494, -0.084375],
                [-0.043188, 0.047519, -0.09452],
            ],
            "estimates.rate": [0.04, 0.04],
        },
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_snapshot_of_a_flat_state_is_read(name):
    attack, values = CASES[name]
    slots, ids = snapshots.load(FOLDER / f"{name}.npz", attack, F, jnp.asarray(X[0]))
    assert ids == ["a", "b"]
    np.testing.assert_array_equal(slots.state.common.x, X)
    for field, value in values.items():
        found = operator.attrgetter(field)(slots.state)
        np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-6, err_msg=field)
