import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from advjax.attacks import run
from advjax.attacks.lbfgs import lbfgs
from tests.problems import linear

UNBOUNDED = lbfgs(bounds=(-np.inf, np.inf))


@functools.lru_cache
def _program(attack):
    def one(weights, bias, x, y):
        return run(attack, linear(weights, bias), x, y, jax.random.key(0))

    return jax.jit(jax.vmap(one))


def attacked(attack, weights, bias, x, y):
    """The result for each row: its own linear classifier, example and label."""
    arrays = (jnp.asarray(a, jnp.float32) for a in (weights, bias, x))
    return jax.device_get(_program(attack)(*arrays, jnp.asarray(y, jnp.int32)))


def two_classes(steepness=1.0):
    """Twelve problems: weights, biases, examples in [-0.6, 0.6], labels, values."""
    rng = np.random.default_rng(0)
    normal = steepness * rng.normal(size=(12, 6))
    x = rng.uniform(-0.6, 0.6, (12, 6)).astype(np.float32)
    side = rng.choice([-1, 1], 12)
    # Largest change towards the plane by each entry within [-1, 1].
    reach = np.abs(normal) * (1 + side[:, None] * np.sign(normal) * x)
    value = side * rng.uniform(0.4, 0.75, 12) * reach.sum(axis=1)
    offset = value - (normal * x).sum(axis=1)
    weights, bias = np.stack([0 * normal, normal], 1), np.stack([0 * offset, offset], 1)
    return weights, bias, x, (value > 0).astype(np.int32), value


# Steep classifiers are confident close to the plane.
@pytest.mark.parametrize("steepness", [0.1, 1.0, 30.0])
def test_the_distance_to_the_plane_is_reached(steepness):
    weights, bias, x, y, value = two_classes(steepness)
    found = attacked(UNBOUNDED, weights, bias, x, y)
    ratio = np.linalg.norm(found.x_adv - x, axis=1)
    ratio /= np.abs(value) / np.linalg.norm(weights[:, 1], axis=1)
    assert found.success.all()
    assert (ratio > 0.9999).all() and (ratio < 1.05).all()
    assert found.queries.max() < 150


def test_where_bounds_bind_scipy_finds_nothing_nearer():
    weights, bias, x, y, _ = two_classes()
    found = attacked(lbfgs(), weights, bias, x, y)
    best = []
    for row in range(len(x)):
        sign, normal = np.where(y[row] > 0, -1, 1), weights[row, 1]
        best.append(
            scipy.optimize.minimize(
                lambda d: d @ d,
                np.zeros(6),
                jac=lambda d: 2 * d,
                bounds=np.stack([-1 - x[row], 1 - x[row]], axis=1),
                constraints={
                    "type": "ineq",
                    "fun": lambda d, r=row, s=sign, n=normal: (
                        s * (n @ (x[r] + d) + bias[r, 1])
                    ),
                },
                method="SLSQP",
            )
        )
    assert all(one.success for one in best)
    # The bounds must be active in some rows.
    assert sum((np.abs(one.x + x[i]) > 0.9999).any() for i, one in enumerate(best)) > 3
    assert found.success.all() and (np.abs(found.x_adv) <= 1).all()
    ratio = np.linalg.norm(found.x_adv - x, axis=1)
    ratio /= [np.linalg.norm(one.x) for one in best]
    assert (ratio > 0.9999).all() and (ratio < 1.05).all()


def test_targets_reached_unreachable_and_reached_already():
    # Rows: two classes that count; constant logits; silence with a target that nothing
    # in the box reaches; the target is the top class at the start.
    weights = np.stack([np.eye(3), np.zeros((3, 3)), np.eye(3), np.eye(3)])
    bias = [[0, -20, 0], [1, 0, 0], [10, 10, 0], [0, 0, 0]]
    x = np.array([[1, 0.5, 0], [0, 0, 0], [0, 0, 0], [-1, 0, 1]], np.float32)
    found = attacked(lbfgs(targeted=True), weights, bias, x, [2, 2, 2, 2])
    assert np.isfinite(found.x_adv).all()
    np.testing.assert_array_equal(found.success, [True, False, False, True])
    np.testing.assert_array_equal(found.x_adv[1:], x[1:])
    assert found.queries[3] == 1
    moved = np.linalg.norm(found.x_adv[0] - x[0])
    assert np.sqrt(0.5) - 1e-5 <= moved <= 1.05 * np.sqrt(0.5)


def test_a_curved_boundary_is_reached():
    # Class 1 outside a ball: the nearest point is straight outwards.
    def outside(x):
        return jnp.stack([jnp.float32(0), 20 * (jnp.sum(jnp.square(x)) - 1)])

    x = jnp.array([0.3, -0.4, 0.1])
    found = jax.jit(
        lambda x: run(UNBOUNDED, outside, x, jnp.int32(0), jax.random.key(0))
    )(x)
    assert found.success
    np.testing.assert_allclose(
        jnp.linalg.norm(found.x_adv - x), 1 - jnp.linalg.norm(x), rtol=0.05
    )


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"num_steps": 0}, "num_steps=0"),
        ({"memory_size": 0}, "memory_size=0"),
        ({"initial_c": 0.0}, "positive number"),
        ({"bounds": (1.0, 0.0)}, "least value"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        lbfgs(**options)
