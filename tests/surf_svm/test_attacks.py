import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import run, run_batch
from advjax.attacks.objectives import margin
from advjax.surf_svm.attacks import (
    add_pull,
    evasion,
    flip_labels,
    flip_weights,
    hinge_losses,
    mean_kernel,
)
from advjax.surf_svm.machine import (
    Kernel,
    class_pairs,
    machine_of,
    pair_decisions,
)
from tests.problems import distance, half_space

NORMAL = np.array([3.0, -4.0, 0.5, 0.0], np.float32)
X = jnp.array([0.2, -0.1, 0.0, 0.1])
AWAY = float(distance(NORMAL, 0.0, X))
CENTRES = np.array([[-2.0, 0.0], [2.0, 0.0], [0.0, 3.4]])
LINEAR = Kernel(degree=1, gamma=1.0, coef0=0.0)
CUBIC = Kernel(degree=3, gamma=0.5, coef0=1.0)


def blobs(seed, num_each, num_classes=2):
    generator = np.random.default_rng(seed)
    y = np.repeat(np.arange(num_classes), num_each)
    return CENTRES[y] + generator.normal(size=(len(y), 2)), y


def svc(x, y, kernel=CUBIC):
    svm = pytest.importorskip("sklearn.svm")
    machine = svm.SVC(kernel="poly", decision_function_shape="ovo", **kernel._asdict())
    return machine.fit(x, y)


def sums_of_pairs(machine, kernel, num_classes):
    """Smooth logits: each class's decisions against all others, summed."""
    first, second = class_pairs(num_classes).T

    def logits(machine, x):
        decisions = pair_decisions(machine, kernel, x)
        sums = jnp.zeros(num_classes).at[first].add(decisions)
        return sums.at[second].add(-decisions)

    return jax.tree_util.Partial(logits, machine)


def evaded(attack, budget, logits_fn=None, x=X, y=1):
    f = half_space(NORMAL) if logits_fn is None else logits_fn
    return run(attack, f, x, jnp.int32(y), jax.random.key(0), budget)


def test_evasion_succeeds_from_where_the_plane_is():
    attack = evasion()
    assert not evaded(attack, 0.999 * AWAY).success
    found = evaded(attack, 1.001 * AWAY)
    assert found.success
    np.testing.assert_allclose(jnp.linalg.norm(found.x_adv - X), AWAY, rtol=2e-3)
    # The shortest way to the plane is along its normal.
    expected = X - AWAY * NORMAL / np.linalg.norm(NORMAL)
    np.testing.assert_allclose(found.x_adv, expected, atol=2e-3 * AWAY)


def test_evasion_stops_at_the_plane_or_goes_to_the_edge_of_the_ball():
    budget = 4 * AWAY
    first, last = (evaded(evasion(stop=stop), budget) for stop in ("first", "last"))
    assert first.success and last.success
    assert int(first.queries) < int(last.queries) == 40
    # At most one step beyond the plane.
    assert jnp.linalg.norm(first.x_adv - X) <= AWAY + 2.5 * budget / 40
    np.testing.assert_allclose(jnp.linalg.norm(last.x_adv - X), budget, rtol=1e-5)


@pytest.mark.parametrize("density", ["laplacian", "gaussian"])
def test_a_density_pulls_towards_benign_points_of_other_classes(density):
    # Points of class 0 to one side of the plane's foot, of class 1 to the other.
    aside = np.array([0.0, 0.0, 0.0, 1.0], np.float32)
    benign = np.stack([s * aside - 0.1 * NORMAL for s in (0.9, 1.1, -0.9, -1.1)])
    labels = np.array([0, 0, 1, 1])
    budget = 2 * AWAY
    drawn = {"benign": benign, "density": density, "density_weight": 10.0}
    ends = {
        "nowhere": evaded(evasion(stop="last"), budget),
        "class 0": evaded(evasion(stop="last", benign_labels=labels, **drawn), budget),
        "class 1": evaded(
            evasion(stop="last", benign_labels=1 - labels, **drawn), budget
        ),
    }
    nearness = {
        name: float(jnp.linalg.norm(found.x_adv - benign[:2].mean(axis=0)))
        for name, found in ends.items()
    }
    assert nearness["class 0"] < nearness["nowhere"] < nearness["class 1"]
    for found in ends.values():
        assert found.success
        assert jnp.linalg.norm(found.x_adv - X) <= budget * (1 + 1e-5)


def test_without_labels_all_points_are_benign():
    benign = np.array([[0.0, 0.0, 0.0, 0.4], [0.0, 0.0, 0.0, 0.6]], np.float32)
    options = {"benign": benign, "density_weight": 10.0, "stop": "last"}
    plain = evaded(evasion(stop="last"), AWAY)
    drawn = evaded(evasion(**options), AWAY)
    assert drawn.x_adv[3] > plain.x_adv[3] + 0.02
    # The median over one pair: its distance.
    told = evaded(evasion(**options, bandwidth=0.2), AWAY)
    np.testing.assert_allclose(told.x_adv, drawn.x_adv, rtol=1e-5)


@pytest.mark.parametrize("density", ["laplacian", "gaussian"])
def test_the_gradient_is_that_of_the_objective(density):
    x_train, y_train = blobs(0, 20, num_classes=3)
    fitted = svc(x_train, y_train)
    first, second = class_pairs(3).T
    y, weight, bandwidth = 1, 5.0, 2.0
    x = np.array([0.6, 0.9])

    def objective(point):
        """Reference in float64, from scikit-learn's decisions."""
        decisions = fitted.decision_function(point[None])[0]
        logits = np.zeros(3)
        np.add.at(logits, first, decisions)
        np.add.at(logits, second, -decisions)
        apart = point - x_train[y_train != y]
        apart = np.abs(apart) if density == "laplacian" else apart**2
        near = np.exp(-apart.sum(axis=1) / bandwidth).mean()
        return logits[y] - max(np.delete(logits, y)) - weight * near

    def pull(point):
        counted = y_train != y
        others = x_train.astype(np.float32)
        return weight * mean_kernel(
            point, others, counted, density=density, bandwidth=bandwidth
        )

    logits_fn = sums_of_pairs(machine_of(fitted), CUBIC, 3)
    guided = add_pull(logits_fn, jnp.int32(y), pull)
    at = jnp.asarray(x, jnp.float32)
    np.testing.assert_array_equal(guided(at), logits_fn(at))
    found = jax.grad(lambda point: margin(guided(point), jnp.int32(y)))(at)
    small = 1e-6 * np.eye(2)
    expected = [(objective(x + d) - objective(x - d)) / 2e-6 for d in small]
    # The density's part is well above the rounding of the margin.
    bare = jax.grad(lambda point: margin(logits_fn(point), jnp.int32(y)))(at)
    assert np.abs(bare - found).max() > 0.05
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_evasion_of_a_polynomial_machine_in_a_batch():
    x_train, y_train = blobs(0, 20, num_classes=3)
    fitted = svc(x_train, y_train)
    logits_fn = sums_of_pairs(machine_of(fitted), CUBIC, 3)
    attack = evasion(
        benign=x_train.astype(np.float32), benign_labels=y_train, density_weight=1.0
    )
    x, y = CENTRES.astype(np.float32), np.arange(3)
    keys = jax.random.split(jax.random.key(0), 3)
    for budget, succeeds in ((0.2, False), (4.0, True)):
        found = dict(run_batch(attack, logits_fn, x, y, keys, budget))
        x_adv = np.stack([found[k].x_adv for k in range(3)])
        assert [bool(found[k].success) for k in range(3)] == [succeeds] * 3
        assert (np.linalg.norm(x_adv - x, axis=1) <= budget * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"stop": "never"}, "first or last"),
        ({"num_steps": 0}, "at least 1"),
        ({"density": "box"}, "laplacian, gaussian"),
        ({"density_weight": -1.0}, "0 or more"),
        ({"benign": None}, "give benign"),
        ({"benign": np.ones((1, 4), np.float32)}, "at least 2"),
        ({"benign": np.full((2, 4), np.nan, np.float32)}, "finite"),
        ({"benign": np.ones((3, 4), np.float32)}, "bandwidth=0.0"),
        ({"bandwidth": -1.0}, "above 0"),
        ({"benign_labels": np.zeros(4, int)}, "of one class"),
        ({"benign_labels": np.arange(3)}, "4 benign points have 3"),
    ],
)
def test_impossible_evasions_are_refused(options, complaint):
    benign = np.eye(4, dtype=np.float32)
    with pytest.raises(ValueError, match=complaint):
        evasion(**{"benign": benign, "density_weight": 1.0} | options)


def test_flip_weights_are_the_cheapest_of_all_choices():
    generator = np.random.default_rng(0)
    labels = np.array([0, 0, 1, 1, 1, 2, 2])
    choices = np.array([*itertools.product([0, 1], repeat=len(labels))])
    kept = np.stack([((1 - choices) * (labels == k)).sum(axis=1) for k in range(3)])
    for num_flips in range(1, 7):
        costs = generator.normal(-0.5, 1.0, len(labels))
        allowed = (choices.sum(axis=1) <= num_flips) & (kept > 0).all(axis=0)
        best = choices[allowed][(choices[allowed] @ costs).argmin()]
        found = flip_weights(costs, labels, num_flips)
        np.testing.assert_allclose(found, best, atol=1e-9)


def test_hinge_losses_are_sums_over_machines():
    decisions = np.array([[2.0, -0.5, -3.0]])
    # Class 0 is correct beyond the margin, class 1 within it.
    expected = [[0 + 0.5 + 0, 3 + 1.5 + 0, 3 + 0.5 + 4]]
    np.testing.assert_allclose(hinge_losses(decisions), expected)


@pytest.mark.parametrize("num_classes", [2, 3])
@pytest.mark.parametrize(("kernel", "rate"), [(LINEAR, 0.2), (CUBIC, 0.3)])
def test_flips_do_more_harm_than_as_many_at_random(num_classes, kernel, rate):
    losses = []
    for seed in range(4):
        x, y = blobs(seed, 40, num_classes)
        x_test, y_test = blobs(100 + seed, 200, num_classes)
        svc(x, y)  # skips without scikit-learn
        found = flip_labels(x, y, rate=rate, kernel=kernel, cost=1.0)
        assert 0 < len(found.flipped) <= int(rate * len(y))
        np.testing.assert_array_equal(np.flatnonzero(found.y != y), found.flipped)
        assert set(found.y) == set(y)
        generator = np.random.default_rng(seed)
        random = y.copy()
        chosen = generator.choice(len(y), len(found.flipped), replace=False)
        random[chosen] += generator.integers(1, num_classes, len(chosen))
        random %= num_classes
        clean, harmed, by_chance = (
            svc(x, labels, kernel).score(x_test, y_test)
            for labels in (y, found.y, random)
        )
        losses.append((clean - harmed, clean - by_chance))
    harm, chance = np.mean(losses, axis=0)
    print("HARM", harm, chance)
    # Measured: 0.19 to 0.31 of the test's points against 0.00 to 0.09.
    assert harm > 0.12 and harm > chance + 0.1


def test_flips_of_one_rate_are_the_same_every_time():
    pytest.importorskip("sklearn")
    x, y = blobs(0, 30, num_classes=3)
    seen = []
    found, again = (
        flip_labels(
            x, y, rate=0.25, kernel=LINEAR, cost=1.0, on_round=lambda *a: seen.append(a)
        )
        for _ in range(2)
    )
    np.testing.assert_array_equal(found.y, again.y)
    assert found.num_rounds == again.num_rounds <= 50
    assert [number for number, _ in seen] == [*range(1, found.num_rounds + 1)] * 2
    np.testing.assert_array_equal(seen[-1][1], found.flipped)
    # Converged: one more programme chooses the same labels.
    np.testing.assert_array_equal(seen[-2][1], found.flipped)


def test_flips_are_of_rounds_asked_for_and_of_labels_given():
    pytest.importorskip("sklearn")
    x, y = blobs(0, 30)
    named = np.where(y == 0, -7, 40).astype(np.int16)
    found = flip_labels(x, named, rate=0.2, kernel=CUBIC, cost=1.0, max_rounds=1)
    assert found.num_rounds == 1 and found.y.dtype == np.int16
    assert set(found.y[found.flipped]) <= {-7, 40}
    assert (found.y[found.flipped] != named[found.flipped]).all()


def test_every_class_keeps_a_point():
    pytest.importorskip("sklearn")
    x, y = blobs(0, 6, num_classes=3)
    found = flip_labels(x, y, rate=0.95, kernel=CUBIC, cost=1.0)
    for k in range(3):
        assert (found.y[y == k] == k).any()


@pytest.mark.parametrize("rate", [0.0, 0.01])
def test_a_rate_below_one_label_changes_nothing(rate):
    x, y = blobs(0, 30)
    found = flip_labels(x, y, rate=rate, kernel=CUBIC, cost=1.0)
    np.testing.assert_array_equal(found.y, y)
    assert found.flipped.size == 0 and found.num_rounds == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"rate": 1.0}, "below 1"),
        ({"rate": -0.1}, "below 1"),
        ({"rate": float("nan")}, "below 1"),
        ({"cost": 0.0}, "above 0"),
        ({"max_rounds": 0}, "at least 1"),
        ({"y": np.zeros(6, int)}, "of one class"),
        ({"y": np.array([0, 0, 0, 0, 0, 4])}, "class 4 has one point"),
        ({"y": np.arange(5)}, "6 points have 5 labels"),
        ({"x": np.full((6, 2), np.inf)}, "not finite"),
    ],
)
def test_impossible_flips_are_refused(change, complaint):
    x, y = blobs(0, 3)
    options = {"x": x, "y": y, "rate": 0.3, "kernel": CUBIC, "cost": 1.0}
    with pytest.raises(ValueError, match=complaint):
        flip_labels(**options | change)
