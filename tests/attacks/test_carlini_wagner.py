import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import run
from advjax.attacks.carlini_wagner import carlini_wagner
from tests.problems import distance, half_space, linear

FREE = (-np.inf, np.inf)


@functools.lru_cache
def _program(attack):
    def one(weights, bias, x, y):
        return run(attack, linear(weights, bias), x, y, jax.random.key(0))

    return jax.jit(jax.vmap(one))


def attacked(attack, weights, bias, x, y):
    """The result for each row: its own linear classifier, example and label."""
    arrays = (jnp.asarray(a, jnp.float32) for a in (weights, bias, x))
    return jax.device_get(_program(attack)(*arrays, jnp.asarray(y, jnp.int32)))


def planes(num_rows, size, *, least=0.2, most=0.5, spread=0.6):
    """Two-class problems: normals, offsets, examples and their labels.

    Examples lie within `spread` of 0; reaching the plane takes between the shares
    `least` and `most` of what all entries together can do within [-1, 1].
    """
    rng = np.random.default_rng(size)
    normal = rng.normal(size=(num_rows, size)).astype(np.float32)
    x = rng.uniform(-spread, spread, (num_rows, size)).astype(np.float32)
    side = rng.choice([-1, 1], num_rows)
    value = rng.uniform(least, most, num_rows) * reach(normal, x, side).sum(axis=1)
    offset = (side * value - (normal * x).sum(axis=1)).astype(np.float32)
    return normal, offset, x, (side > 0).astype(np.int32)


def reach(normal, x, side):
    """Largest change of the value towards the plane by each entry within [-1, 1]."""
    down = normal * side[:, None] > 0
    return np.abs(normal) * np.where(down, 1 + x, 1 - x)


def two_classes(normal, offset):
    """Weights and biases of the classifiers whose class 1 lies above the plane."""
    return np.stack([0 * normal, normal], 1), np.stack([0 * offset, offset], 1)


def sizes(found, x, norm):
    delta = found.x_adv - x
    if norm == "l0":
        return (delta != 0).sum(axis=1)
    return np.linalg.norm(delta, {"l2": 2, "linf": np.inf}[norm], axis=1)


def to_planes(normal, offset, x, norm):
    rows = zip(normal, offset, x, strict=True)
    return np.array([distance(n, b, point, norm) for n, b, point in rows])


@pytest.mark.parametrize(
    ("norm", "bounds", "excess"),
    [("l2", FREE, 1.05), ("linf", FREE, 1.1), ("linf", (-3.0, 3.0), 1.1)],
)
def test_the_distance_to_the_plane_is_reached(norm, bounds, excess):
    normal, offset, x, y = planes(12, 6)
    attack = carlini_wagner(norm=norm, num_steps=150, bounds=bounds)
    found = attacked(attack, *two_classes(normal, offset), x, y)
    ratio = sizes(found, x, norm) / to_planes(normal, offset, x, norm)
    assert found.success.all()
    assert (ratio > 0.9999).all() and (ratio < excess).all()


# Under tanh an entry approaches its bound ever more slowly.
@pytest.mark.parametrize(("change", "num_steps"), [("none", 150), ("tanh", 600)])
def test_where_bounds_bind_the_l2_optimum_is_reached(change, num_steps):
    normal, offset, x, y = planes(12, 6, least=0.5, most=0.8)
    attack = carlini_wagner(num_steps=num_steps, change_of_variables=change)
    found = attacked(attack, *two_classes(normal, offset), x, y)
    # The optimum is a clipped multiple of the normal: bisect for the multiple.
    low, high = np.zeros((12, 1)), np.full((12, 1), 1e3)
    towards = -normal * np.where(y > 0, 1, -1)[:, None]
    for _ in range(60):
        middle = (low + high) / 2
        point = np.clip(x + middle * towards, -1, 1)
        crossed = ((point * normal).sum(axis=1) + offset > 0) != (y > 0)
        low = np.where(crossed[:, None], low, middle)
        high = np.where(crossed[:, None], middle, high)
    optimum = np.linalg.norm(np.clip(x + high * towards, -1, 1) - x, axis=1)
    assert (optimum > 1.001 * to_planes(normal, offset, x, "l2")).sum() > 5
    assert found.success.all() and (np.abs(found.x_adv) <= 1).all()
    ratio = sizes(found, x, "l2") / optimum
    assert (ratio > 0.9999).all() and (ratio < 1.05).all()


@pytest.mark.parametrize(("change", "num_steps"), [("none", 200), ("tanh", 400)])
def test_l0_finds_the_fewest_coordinates(change, num_steps):
    silent = planes(24, 7, most=0.8, spread=0.0)
    anywhere = planes(40, 7, most=0.8)
    normal, offset, x, y = (
        np.concatenate(both) for both in zip(silent, anywhere, strict=True)
    )
    attack = carlini_wagner(
        norm="l0", num_steps=num_steps, learning_rate=0.05, change_of_variables=change
    )
    found = attacked(attack, *two_classes(normal, offset), x, y)
    can = reach(normal, x, np.where(y > 0, 1, -1))
    must = np.abs((normal * x).sum(axis=1) + offset)
    fewest = np.array(
        [
            min(
                len(chosen)
                for number in range(1, 8)
                for chosen in itertools.combinations(range(7), number)
                if can[row, list(chosen)].sum() > must[row]
            )
            for row in range(len(x))
        ]
    )
    assert len(set(fewest[:24])) >= 4
    assert found.success.all() and (np.abs(found.x_adv) <= 1).all()
    excess = sizes(found, x, "l0") - fewest
    # Where all entries have equal room the least worth is the least needed. Elsewhere
    # one at a time is greedy: the last set can be one that only an exchange improves.
    np.testing.assert_array_equal(excess[:24], 0)
    assert set(excess) <= {0, 1} and (excess == 0).mean() > 0.95


@pytest.mark.parametrize(
    ("norm", "bounds", "optimum"),
    [
        ("l2", (-2.0, 2.0), np.sqrt(0.5)),
        ("linf", (-2.0, 2.0), 0.5),
        ("l0", (-2.0, 2.0), 1),
        ("l2", (-np.inf, 2.0), np.sqrt(0.5)),
    ],
)
def test_targets_reached_unreachable_and_reached_already(norm, bounds, optimum):
    # Rows: the nearest point with three equal logits; constant logits; silence with
    # a target that no step raises; the target is the top class at the start.
    weights = np.stack([np.eye(3), np.zeros((3, 3)), np.diag([1, 1, 0]), np.eye(3)])
    bias = [[0, 0, 0], [1, 0, 0], [10, 10, 0], [0, 0, 0]]
    x = np.array([[1, 0.5, 0], [0, 0, 0], [0, 0, 0], [-2, 0, 2]], np.float32)
    attack = carlini_wagner(
        norm=norm, num_steps=100, learning_rate=0.02, targeted=True, bounds=bounds
    )
    found = attacked(attack, weights, bias, x, [2, 2, 2, 2])
    assert np.isfinite(found.x_adv).all()
    # Without a lower bound the third target can be reached.
    np.testing.assert_array_equal(found.success[[0, 1, 3]], [True, False, True])
    size = sizes(found, x, norm)
    assert optimum - 1e-5 <= size[0] <= 1.1 * optimum
    np.testing.assert_array_equal(found.x_adv[[1, 3]], x[[1, 3]])
    assert found.queries[3] == 1
    if np.isfinite(bounds[0]):
        assert not found.success[2]
        np.testing.assert_array_equal(found.x_adv[2], x[2])


def test_confidence_is_the_margin_of_every_success():
    normal, offset, x, y = planes(12, 6)
    attack = carlini_wagner(num_steps=150, confidence=0.7, bounds=FREE)
    found = attacked(attack, *two_classes(normal, offset), x, y)
    beyond = (normal * found.x_adv).sum(axis=1) + offset
    beyond *= np.where(y > 0, -1, 1)
    assert (beyond > 0.7 - 1e-5).all() and (beyond < 0.9).all()
    # A misclassified example whose margin is too small is not finished.
    before = np.abs((normal * x).sum(axis=1) + offset)
    share = ((before + 0.35) / (before + 0.7))[:, None]
    near = x + share * (found.x_adv - x)
    wrong = attacked(attack, *two_classes(normal, offset), near, y)
    assert (wrong.queries > 1).all() and wrong.success.all()


def test_aborting_early_saves_queries_and_costs_little():
    normal, offset, x, y = planes(12, 6)
    early, late = (
        attacked(
            carlini_wagner(num_steps=150, abort_early=early, bounds=FREE),
            *two_classes(normal, offset),
            x,
            y,
        )
        for early in (True, False)
    )
    np.testing.assert_array_equal(late.queries, 9 * 150)
    assert early.queries.mean() < 0.8 * late.queries.mean()
    ratio = sizes(early, x, "l2") / sizes(late, x, "l2")
    np.testing.assert_allclose(ratio, 1, rtol=0.03)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"norm": "l1"}, "l2, l0, linf"),
        ({"num_searches": 0}, "at least 1"),
        ({"learning_rate": 0.0}, "positive number"),
        ({"initial_c": -1.0}, "positive number"),
        ({"confidence": -1.0}, "at least 0"),
        ({"change_of_variables": "sin"}, "auto, tanh or none"),
        ({"change_of_variables": "tanh", "bounds": (0.0, np.inf)}, "finite ones"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        carlini_wagner(**options)


@pytest.mark.parametrize("targeted", [False, True])
def test_a_probability_is_what_every_success_must_reach(targeted):
    normal, offset, x, y = planes(8, 6)
    level = 0.9 if targeted else 0.1
    attack = carlini_wagner(
        num_steps=300, confidence=500.0, probability=level, targeted=targeted,
        initial_c=0.1, bounds=FREE,
    )  # fmt: skip
    goal = 1 - y if targeted else y
    found = attacked(attack, *two_classes(normal, offset), x, goal)
    assert found.success.all()
    logits = found.logits - found.logits.max(axis=1, keepdims=True)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    reached = shares[np.arange(8), goal]
    assert (reached >= level).all() if targeted else (reached < level).all()
    # Hardly more, because the nearest success is kept.
    np.testing.assert_allclose(reached, level, atol=0.1)


@pytest.mark.parametrize("scale", [1.0, 1e-2])
def test_the_default_step_fits_the_distance(scale):
    """The known distance is found for examples as quiet as speech and for loud ones."""
    generator = np.random.default_rng(0)
    normal = generator.normal(size=2000) / 5
    x = scale * generator.uniform(-0.1, 0.1, 2000).astype(np.float32)
    wanted = scale * 0.5
    offset = -float(normal @ x) - wanted * np.linalg.norm(normal)
    f = half_space(normal, offset)

    def found(**options):
        attack = carlini_wagner(num_searches=5, num_steps=40, **options)
        result = run(attack, f, jnp.asarray(x), jnp.int32(0), jax.random.key(0))
        assert result.success
        return float(jnp.linalg.norm(result.x_adv - x))

    assert found() < 1.1 * wanted
    if scale < 1:
        assert found(learning_rate=1e-2) > 1.5 * wanted
