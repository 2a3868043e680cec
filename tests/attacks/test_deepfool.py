import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import run
from advjax.attacks.deepfool import deepfool
from tests.problems import distance, half_space, linear

NORMAL = np.array([3.0, -4.0, 0.5, 0.0], np.float32)
X = jnp.array([0.2, -0.1, 0.0, 0.1])
FREE = (-np.inf, np.inf)
ORDER = {"l2": 2, "linf": np.inf}
DUAL = {"l2": 2, "linf": 1}


def attacked(attack, x=X, y=1, logits_fn=None):
    f = half_space(NORMAL) if logits_fn is None else logits_fn
    return run(attack, f, x, jnp.int32(y), jax.random.key(0))


def attacked_each(attack, logits_fn, x, y):
    def one(x, y):
        return run(attack, logits_fn, x, y, jax.random.key(0))

    return jax.jit(jax.vmap(one))(x, y)


def moved(found, x, norm):
    delta = np.asarray(found.x_adv, np.float64) - np.asarray(x, np.float64)
    return np.linalg.norm(delta, ORDER[norm], axis=-1)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("overshoot", [0.02, 0.005])
def test_it_reaches_the_plane_and_goes_as_far_beyond_as_asked(norm, overshoot):
    found = attacked(deepfool(norm=norm, overshoot=overshoot, bounds=FREE))
    assert found.success
    share = moved(found, X, norm) / distance(NORMAL, 0.0, X, norm)
    np.testing.assert_allclose(share, 1 + overshoot, rtol=1e-4)
    # One linearisation, and one pass that judges the move.
    assert int(found.queries) == 2


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_of_many_planes_it_reaches_the_nearest(norm):
    rng = np.random.default_rng(0)
    weights, bias = rng.normal(size=(7, 20)), rng.normal(size=7)
    x = jnp.asarray(rng.normal(size=(64, 20)), jnp.float32)
    f = linear(weights, bias)
    y = jax.vmap(f)(x).argmax(-1)
    attack = deepfool(norm=norm, num_candidates=None, overshoot=0.005, bounds=FREE)
    found = attacked_each(attack, f, x, y)
    logits = np.asarray(x, np.float64) @ weights.T + bias
    own = np.take_along_axis(logits, np.asarray(y)[:, None], 1)
    normals = weights[None] - weights[np.asarray(y)][:, None]
    with np.errstate(invalid="ignore"):
        planes = (own - logits) / np.linalg.norm(normals, DUAL[norm], axis=-1)
    assert found.success.all()
    np.testing.assert_allclose(moved(found, x, norm), np.nanmin(planes, 1), rtol=0.01)
    np.testing.assert_array_equal(
        jax.vmap(f)(found.x_adv).argmax(-1), np.nanargmin(planes, 1)
    )


def test_candidates_and_select_decide_which_class_is_reached():
    # Class 1 comes second but is flat, so its boundary is farther than that of 2.
    f = linear([[0.0, 0.0], [0.1, 0.0], [0.0, 2.0], [0.0, 1.0]], [1.0, 0.8, 0.5, 0.0])
    x = jnp.zeros(2)

    def reached(**options):
        found = attacked(deepfool(bounds=FREE, **options), x=x, y=0, logits_fn=f)
        assert found.success
        return int(f(found.x_adv).argmax())

    assert reached(num_candidates=None, pruning=None) == 2
    assert reached(num_candidates=3, pruning=None) == 2
    assert reached(num_candidates=2) == 1
    assert reached(num_candidates=3, select="max") == 1


def test_pruning_leaves_out_what_only_a_steeper_gradient_could_bring_near():
    # From zero: class 1 at 1 / 1, class 2 at 1.2 / 1.6, class 3 at 5 / 20.
    f = linear([[0, 0], [1, 0], [0, 1.6], [0, -20.0]], [5.0, 4.0, 3.8, 0.0])

    def reached(**options):
        found = attacked(deepfool(bounds=FREE, **options), jnp.zeros(2), 0, f)
        return int(f(found.x_adv).argmax())

    assert reached(pruning=1.1) == 1
    assert reached(pruning=1.3) == 2
    assert reached(pruning=5) == reached(pruning=None) == 3
    # The farthest boundary of all classes is found.
    assert reached(pruning=1.1, select="max", num_candidates=3) == 1


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_what_a_bound_stops_is_made_up_for_by_the_other_entries(norm):
    # Of a linear classifier the nearest point of the plane inside a box lies on the
    # path clip(x - t * direction), along which the crossing is found by bisection.
    rng = np.random.default_rng(1)
    normals = rng.normal(size=(32, 30))
    x = rng.uniform(-0.15, 1.0, (32, 30)).clip(0.0, 1.0).astype(np.float32)
    offsets = 1.0 - (normals * x).sum(1)
    direction = normals if norm == "l2" else np.sign(normals)

    def along(t):
        return (x - t[:, None] * direction).clip(0.0, 1.0)

    low, high = np.zeros(32), np.full(32, 10.0)
    for _ in range(60):
        middle = (low + high) / 2
        beyond = (normals * along(middle)).sum(1) + offsets < 0
        low, high = np.where(beyond, low, middle), np.where(beyond, middle, high)
    nearest = np.linalg.norm(along(high) - x, ORDER[norm], axis=1)

    @jax.jit
    @jax.vmap
    def each(normal, offset, x):
        def f(x):
            return jnp.stack([jnp.float32(0), jnp.vdot(normal, x) + offset])

        attack = deepfool(norm=norm, bounds=(0.0, 1.0))
        return run(attack, f, x, jnp.int32(1), jax.random.key(0))

    found = each(jnp.float32(normals), jnp.float32(offsets), jnp.asarray(x))
    assert (found.x_adv >= 0).all() and (found.x_adv <= 1).all()
    assert found.success.all()
    share = moved(found, x, norm) / nearest
    assert (share > 0.9999).all() and (share < 1.021).all()
    assert (along(high) == 0).any() and int(found.queries.max()) < 12


def test_on_a_curved_boundary_it_comes_close_to_the_nearest_point():
    rng = np.random.default_rng(2)
    first = jnp.asarray(rng.normal(size=(16, 2)), jnp.float32)
    second = jnp.asarray(rng.normal(size=(4, 16)), jnp.float32)
    shift = jnp.asarray(rng.normal(size=16), jnp.float32)

    def f(x):
        return second @ jnp.tanh(first @ x + shift)

    x = jnp.asarray(rng.uniform(-1, 1, (40, 2)), jnp.float32)
    y = jax.vmap(f)(x).argmax(-1)
    found = attacked_each(deepfool(num_candidates=None, bounds=FREE), f, x, y)
    # Reference: all directions in the plane and all lengths, on a grid.
    angles = jnp.linspace(0, 2 * np.pi, 181)
    circle = jnp.stack([jnp.cos(angles), jnp.sin(angles)], -1)
    radii = jnp.geomspace(1e-3, 10.0, 300)

    @jax.jit
    @jax.vmap
    def nearest(x, y):
        points = x[None, None] + radii[:, None, None] * circle[None]
        other = jax.vmap(jax.vmap(f))(points).argmax(-1) != y
        return jnp.where(other.any(1), radii, jnp.inf).min()

    share = moved(found, x, "l2") / np.asarray(nearest(x, y))
    assert found.success.all() and int(found.queries.max()) <= 10
    # The grid's first radius beyond the boundary is at most 3.2 % too long.
    assert share.min() > 0.965 and np.median(share) < 1.1


def test_an_example_that_is_wrong_already_is_left_alone():
    found = attacked(deepfool(), y=0)
    np.testing.assert_array_equal(found.x_adv, X)
    assert found.success and int(found.queries) == 1


def test_the_last_point_is_returned_and_can_be_a_success():
    assert attacked(deepfool(max_steps=1, bounds=FREE)).success

    # A saturating rise: the tangent always falls short by more than the overshoot.
    def bend(x):
        return jnp.stack([jnp.float32(0.9), 1.0 - jnp.tanh(4 * x[0]) * 0.2])

    found = attacked(deepfool(max_steps=1, bounds=FREE), jnp.zeros(1), 1, bend)
    np.testing.assert_allclose(found.x_adv, [1.02 * 0.1 / 0.8], rtol=1e-4)
    assert not found.success
    assert attacked(deepfool(bounds=FREE), jnp.zeros(1), 1, bend).success


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_without_a_slope_it_gives_up_where_it_stands(norm, value):
    def flat(x):
        return jnp.array([1.0, 0.0, value]) + 0.0 * x.sum()

    # Compiled, because outside of a program such logits are refused.
    found = jax.jit(lambda x: attacked(deepfool(norm=norm), x, 0, flat))(jnp.zeros(4))
    np.testing.assert_array_equal(found.x_adv, np.zeros(4))
    # One query for each of the two other classes.
    assert not found.success and int(found.queries) == 2


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_at_silence_on_the_boundary_only_the_nudge_gets_away(norm):
    x = jnp.zeros(4)
    stays = attacked(deepfool(norm=norm, nudge=0.0, max_steps=7), x, 0)
    assert not stays.success and int(stays.queries) == 7
    goes = attacked(deepfool(norm=norm), x, 0)
    assert goes.success
    np.testing.assert_allclose(moved(goes, x, norm), 1.02e-6, rtol=1e-3)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_gradients_whose_squares_vanish_are_followed(norm):
    found = attacked(
        deepfool(norm=norm, bounds=FREE), logits_fn=half_space(NORMAL * 1e-25)
    )
    share = moved(found, X, norm) / distance(NORMAL, 0.0, X, norm)
    np.testing.assert_allclose(share, 1.02, rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"norm": "l1"}, "l2, linf"),
        ({"num_candidates": 1}, "at least 2"),
        ({"select": "mean"}, "min or max"),
        ({"overshoot": -0.1}, "0 or more"),
        ({"max_steps": 0}, "at least 1"),
        ({"pruning": 0.9}, "at least 1, or None"),
        ({"bounds": (1.0, 1.0)}, "least value"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        deepfool(**options)


def test_a_single_class_is_refused():
    with pytest.raises(ValueError, match="one class"):
        attacked(deepfool(), y=0, logits_fn=linear(np.ones((1, 4)), [0.0]))
