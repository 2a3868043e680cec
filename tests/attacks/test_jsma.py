import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import run
from advjax.attacks.jsma import _best_pair, _candidates, jsma
from tests.problems import linear

SIGNS = {"up": (1,), "down": (-1,), "both": (1, -1)}


def problem(seed=0, classes=5, size=12):
    rng = np.random.default_rng(seed)
    weights = rng.normal(size=(classes, size))
    x = rng.uniform(0.1, 0.9, size).astype(np.float32)
    return weights, rng.normal(size=classes), x


def follow(attack, f, x, y):
    """Every state of a run, from one compiled step."""
    step = jax.jit(lambda state: attack.step(f, state))
    state = attack.init(f, jnp.asarray(x), jnp.int32(y), None, jnp.float32(np.inf))
    states = []
    while not state.common.done and len(states) < attack.max_steps:
        state = step(state)
        states.append(state)
    return states


def slopes(weights, bias, x, y, scores):
    """Gradients of the score of class y and of the sum of all others."""
    if scores == "logit":
        return weights[y], -weights[y]
    if scores == "probabilities":
        powers = np.exp(weights @ x + bias)
        p = powers / powers.sum()
        weights = p[:, None] * (weights - p @ weights)
    return weights[y], weights.sum(0) - weights[y]


def searched(weights, bias, x, y, *, count, theta, direction, gamma, **goal):
    """Reference: the attack's points in [0, 1] by a search over all pairs."""
    clean, x, points = x.astype(np.float64), x.astype(np.float64), []
    choices = list(itertools.product(range(x.size), SIGNS[direction]))
    for _ in range(60):
        hit = (weights @ x + bias).argmax() == y
        if hit == goal["targeted"]:
            return points, True
        rise, fall = slopes(weights, bias, x, y, goal["scores"])
        if not goal["targeted"]:
            rise, fall = fall, rise
        best, found = 0.0, None
        for group in itertools.combinations(choices, count):
            # With two directions a slope is weighted by the length of its step.
            reach = [
                np.clip(1 - x[i] if sign > 0 else x[i], 0, theta)
                if direction == "both"
                else 1.0
                for i, sign in group
            ]
            ups = sum(
                sign * rise[i] * r for (i, sign), r in zip(group, reach, strict=True)
            )
            downs = sum(
                -sign * fall[i] * r for (i, sign), r in zip(group, reach, strict=True)
            )
            stuck = any(
                (x[i] >= 1 if sign > 0 else x[i] <= 0) or (x[i] - clean[i]) * sign < 0
                for i, sign in group
            )
            fresh = any(x[i] == clean[i] for i, _ in group)
            full = (x != clean).sum() + count > gamma * x.size
            if stuck or (fresh and full) or len({i for i, _ in group}) < count:
                continue
            if ups > 0 and downs > 0 and ups * downs > best:
                best, found = ups * downs, group
        if found is None:
            return points, False
        x = x.copy()
        for i, sign in found:
            x[i] = np.clip(x[i] + sign * theta, 0, 1)
        points.append(x)
    raise AssertionError("no end")


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("direction", ["up", "down", "both"])
@pytest.mark.parametrize(
    ("pairs", "scores", "theta"),
    [
        (True, "logits", 1.0),
        (True, "probabilities", 0.35),
        (True, "logit", 1.0),
        (False, "logits", 0.35),
        (False, "probabilities", 1.0),
    ],
)
def test_every_pick_is_the_best_of_all(pairs, scores, theta, direction, targeted):
    weights, bias, x = problem()
    order = np.argsort(weights @ x + bias)
    y = order[0] if targeted else order[-1]
    attack = jsma(
        pairs=pairs,
        scores=scores,
        theta=theta,
        direction=direction,
        gamma=0.7,
        targeted=targeted,
        bounds=(0.0, 1.0),
    )
    states = follow(attack, linear(weights, bias), x, y)
    points, success = searched(
        weights, bias, x, y, count=2 if pairs else 1, theta=theta,
        direction=direction, gamma=0.7, targeted=targeted, scores=scores,
    )  # fmt: skip
    assert points and len(states) == len(points) + 1
    for state, point in zip(states, points, strict=False):
        np.testing.assert_allclose(state.common.x_adv, point, atol=1e-6)
    last = states[-1].common
    np.testing.assert_array_equal(last.x_adv, states[-2].common.x_adv)
    assert int(last.queries) == len(states)
    top = (weights @ np.asarray(last.x_adv) + bias).argmax()
    assert (bool(top == y) == targeted) == success


def attacked_each(attack, f, x, y):
    def one(x, y):
        return run(attack, f, x, y, jax.random.key(0))

    return jax.jit(jax.vmap(one))(x, y)


@pytest.mark.parametrize(
    ("pairs", "scores"), [(True, "logits"), (False, "probabilities")]
)
def test_targets_are_reached_within_the_share_of_entries(pairs, scores):
    rng = np.random.default_rng(3)
    first = jnp.asarray(rng.normal(size=(32, 64)) / 8, jnp.float32)
    second = jnp.asarray(rng.normal(size=(6, 32)), jnp.float32)

    def f(x):
        return second @ jnp.tanh(first @ x.ravel())

    x = jnp.asarray(rng.uniform(-0.5, 0.5, (24, 8, 8)), jnp.float32)
    ranked = jnp.argsort(jax.vmap(f)(x), axis=-1)
    target = ranked[:, 0]
    rates = []
    for gamma in (0.04, 0.5):
        attack = jsma(
            pairs=pairs, scores=scores, gamma=gamma, direction="both", targeted=True
        )
        found = attacked_each(attack, f, x, target)
        changed = (found.x_adv != x).sum((1, 2))
        # 0.04 * 64 = 2.56: one pair or two single entries, never a third.
        assert int(changed.max()) <= gamma * 64
        assert (jnp.abs(found.x_adv) <= 1).all()
        reached = jax.vmap(f)(found.x_adv).argmax(-1) == target
        np.testing.assert_array_equal(found.success, reached)
        rates.append(float(found.success.mean()))
    assert rates[0] < rates[1] - 0.1 and rates[1] > 0.95


def test_entries_at_their_bound_are_passed_over():
    # The two most salient entries have no room; the next two suffice.
    x = jnp.array([1.0, 1.0, 0.0, 0.0, 0.0])
    f = linear(np.array([[-5.0, -4, -3, -2, -1], [5, 4, 3, 2, 1]]), [0.0, -20.0])
    attack = jsma(targeted=True, gamma=0.5, bounds=(0.0, 1.0))
    found = run(attack, f, x, jnp.int32(1), jax.random.key(0))
    np.testing.assert_array_equal(found.x_adv, [1, 1, 1, 1, 0])
    assert found.success and int(found.queries) == 2


def test_theta_is_a_share_of_a_finite_width_and_else_in_units():
    f = linear([[-1.0, 0, 0], [1, 0, 0]], [0.0, -99.0])
    x = jnp.zeros(3)

    def first(bounds, direction="up"):
        attack = jsma(
            pairs=False, theta=0.25, gamma=1.0, bounds=bounds, direction=direction,
            targeted=True, max_steps=1,
        )  # fmt: skip
        return run(attack, f, x, jnp.int32(1), jax.random.key(0)).x_adv[0]

    np.testing.assert_allclose(first((-2.0, 2.0)), 1.0)
    np.testing.assert_allclose(first((-2.0, 0.5)), 0.5)
    np.testing.assert_allclose(first((0.0, np.inf)), 0.25)
    np.testing.assert_allclose(first((-np.inf, np.inf)), 0.25)
    np.testing.assert_allclose(first((-2.0, 2.0), "down"), 0.0)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("scores", ["logits", "probabilities"])
@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_without_an_admissible_entry_it_ends_where_it_stands(pairs, scores, value):
    def flat(x):
        return jnp.array([1.0, 0.0, value]) * (1.0 + 0.0 * x.sum())

    attack = jsma(pairs=pairs, scores=scores, bounds=(-np.inf, np.inf))
    # Compiled, because outside of a program such logits are refused.
    one = jax.jit(lambda x: run(attack, flat, x, jnp.int32(0), jax.random.key(0)))
    found = one(jnp.zeros(30))
    np.testing.assert_array_equal(found.x_adv, np.zeros(30))
    assert not found.success and int(found.queries) == 1


def test_a_goal_met_already_leaves_the_example_alone():
    weights, bias, x = problem()
    f = linear(weights, bias)
    top = jnp.int32((weights @ x + bias).argmax())
    for y, targeted in ((top, True), ((top + 1) % 5, False)):
        found = run(jsma(targeted=targeted), f, jnp.asarray(x), y, jax.random.key(0))
        np.testing.assert_array_equal(found.x_adv, x)
        assert found.success and int(found.queries) == 1


def test_small_gradients_choose_as_large_ones():
    weights, bias, x = problem()
    y = jnp.int32((weights @ x + bias).argmin())
    attack = jsma(targeted=True, gamma=1.0)
    large, small = (
        run(attack, linear(c * weights, c * bias), jnp.asarray(x), y, jax.random.key(0))
        for c in (1.0, 1e-25)
    )
    np.testing.assert_array_equal(large.x_adv, small.x_adv)
    assert int(large.queries) > 1


@pytest.mark.parametrize("correlation", [-0.99, 0.0, 0.9])
def test_few_candidates_hold_the_best_pair_and_no_bound_is_broken(correlation):
    rng = np.random.default_rng(4)
    u, other = rng.normal(size=(2, 8, 1000)).astype(np.float32)
    v = correlation * u + np.float32((1 - correlation**2) ** 0.5) * other
    allowed = rng.random((8, 1000)) > 0.1

    @jax.jit
    @jax.vmap
    def chosen_and_bounds(u, v, allowed):
        kept, bounds = _candidates(u, v, allowed, u.size)
        bounds = jnp.zeros_like(u).at[kept].set(bounds)
        return *_best_pair(u, v, allowed, 64), bounds

    chosen, found, bounds = map(np.asarray, chosen_and_bounds(u, v, allowed))
    assert found.all()
    for i in range(8):
        sum_u, sum_v = (np.add.outer(a[i], a[i]) for a in (u, v))
        valid = (sum_u > 0) & (sum_v > 0) & np.outer(allowed[i], allowed[i])
        np.fill_diagonal(valid, False)
        score = np.where(valid, sum_u * sum_v, -np.inf)
        np.testing.assert_allclose(score[tuple(chosen[i])], score.max(), rtol=1e-5)
        scale = np.sqrt(np.square(u[i]).mean() * np.square(v[i]).mean())
        assert (score.max(1) <= 1.0001 * scale * bounds[i]).all()


@pytest.mark.parametrize("direction", ["up", "both"])
def test_memory_stays_small_at_48000_entries(direction):
    size = 48_000
    f = linear(np.ones((10, size), np.float32), np.zeros(10))
    attack = jsma(direction=direction, targeted=True)
    state = jax.eval_shape(
        lambda x, y: attack.init(f, x, y, None, jnp.float32(0)),
        jax.ShapeDtypeStruct((size,), jnp.float32),
        jax.ShapeDtypeStruct((), jnp.int32),
    )
    compiled = jax.jit(attack.step).lower(f, state).compile()
    used = compiled.memory_analysis()
    total = (
        used.temp_size_in_bytes
        + used.argument_size_in_bytes
        + used.output_size_in_bytes
    )
    # All pairs would be 9.2e9 bytes, the promise is 2e9; this is what it takes.
    assert 4 * 10 * size < total < 20e6


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"theta": -1.0}, "lowers"),
        ({"gamma": 0.0}, "share"),
        ({"gamma": 1.5}, "share"),
        ({"direction": "sideways"}, "up, down, both"),
        ({"scores": "odds"}, "choose one of logits"),
        ({"num_candidates": 1}, "at least 2"),
        ({"max_steps": 0}, "at least 1"),
        ({"bounds": (1.0, 0.0)}, "least value"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        jsma(**options)


def test_both_directions_need_no_more_entries_than_one():
    """An entry near its upper bound gains nothing by an increase."""
    rng = np.random.default_rng(4)
    x = rng.beta(0.4, 0.4, (16, 40)).astype(np.float32)
    f = linear(rng.normal(size=(4, 40)), np.zeros(4))
    y = np.asarray(jax.vmap(f)(jnp.asarray(x)).argmax(axis=1))
    counts = {}
    for direction in SIGNS:
        attack = jsma(direction=direction, gamma=1.0, bounds=(0.0, 1.0))
        found = jax.jit(jax.vmap(lambda *row, a=attack: run(a, f, *row)))(
            jnp.asarray(x), jnp.asarray(y), jax.random.split(jax.random.key(0), 16)
        )
        counts[direction] = np.where(
            found.success, (np.asarray(found.x_adv) != x).sum(axis=1), x.shape[1]
        ).mean()
    assert counts["both"] <= min(counts["up"], counts["down"])
