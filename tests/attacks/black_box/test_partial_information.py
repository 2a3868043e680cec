import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from advjax.attacks import run
from advjax.attacks.black_box.estimator import gradient_estimate
from advjax.attacks.black_box.oracles import top_k as best
from advjax.attacks.black_box.partial_information import partial_information
from tests.problems import linear

GENERATOR = np.random.default_rng(0)
WEIGHTS = 2 * GENERATOR.normal(size=(3, 24)).astype(np.float32)
F = linear(WEIGHTS, np.zeros(3))
POINTS = GENERATOR.uniform(-1.9, 1.9, size=(60, 24)).astype(np.float32)
CLASSES = (POINTS @ WEIGHTS.T).argmax(axis=1)
STARTS = POINTS[[CLASSES.tolist().index(c) for c in range(3)]]
X = jnp.asarray(POINTS[CLASSES == 0][3])
FREE = (-np.inf, np.inf)
Y = jnp.int32(2)
KEY = jax.random.key(3)
ATTACK = partial_information(starts=STARTS, bounds=FREE, max_queries=4000)


def linf_distance():
    """From X to where class 2 is the top one, by linear programming."""
    gain = [np.append(WEIGHTS[k] - WEIGHTS[2], 0) for k in (0, 1)]
    lead = [float((WEIGHTS[2] - WEIGHTS[k]) @ np.asarray(X)) for k in (0, 1)]
    entries = np.hstack([np.vstack([np.eye(24), -np.eye(24)]), -np.ones((48, 1))])
    return scipy.optimize.linprog(
        np.eye(25)[24],
        A_ub=np.vstack([gain, entries]),
        b_ub=np.append(lead, np.zeros(48)),
        bounds=[(None, None)] * 25,
    ).fun


DISTANCE = linf_distance()


@functools.lru_cache
def program(attack):
    def each(f, x, y, budgets):
        return jax.vmap(lambda budget: run(attack, f, x, y, KEY, budget))(budgets)

    return jax.jit(each)


def attacked(attack, budgets, y=Y, x=X, logits_fn=F):
    f = jax.tree_util.Partial(logits_fn)
    return program(attack)(f, x, y, jnp.asarray(budgets, jnp.float32))


def test_success_begins_where_the_targets_region_does():
    budgets = DISTANCE * np.array([0.7, 0.98, 1.05, 1.2])
    found = attacked(ATTACK, budgets)
    np.testing.assert_array_equal(found.success, [False, False, True, True])
    moved = np.abs(np.asarray(found.x_adv) - np.asarray(X)).max(axis=1)
    assert (moved <= budgets * (1 + 1e-5)).all()
    assert ((found.x_adv @ WEIGHTS.T).argmax(axis=1)[2:] == 2).all()
    # Points of the target class outside of the budget do not count.
    np.testing.assert_array_equal(found.x_adv[:2], jnp.stack([X, X]))
    # The remaining queries do not suffice for another step.
    assert (found.queries <= 4000).all() and (found.queries[:2] > 3899).all()
    # The start is far away, and the straight line from it does not reach the class.
    assert np.abs(STARTS[2] - np.asarray(X)).max() > 3 * DISTANCE
    assert (found.queries[2:] > 500).all()


@pytest.mark.parametrize("top_k", [1, 2])
def test_every_iterate_shows_its_target_in_a_shrinking_box(top_k):
    budget = jnp.float32(1.2 * DISTANCE)
    attack = partial_information(starts=STARTS, top_k=top_k, bounds=(-2.0, 2.0))

    def advance(state, _):
        state = attack.step(F, state)
        return state, state

    first = attack.init(F, X, Y, KEY, budget)
    _, seen = jax.jit(lambda s: jax.lax.scan(advance, s, length=30))(first)
    shown = jax.vmap(best(F, top_k))(seen.current)[:, 2]
    assert jnp.isfinite(shown).all()
    moved = jnp.abs(seen.current - X[None]).max(axis=1)
    assert (moved <= seen.box.radius * (1 + 1e-5)).all()
    eps = seen.box.eps
    assert (eps[1:] <= eps[:-1]).all()
    assert seen.current.min() >= -2.0 and seen.current.max() <= 2.0
    assert seen.common.done.any() and eps[-1] == budget < first.box.eps


def test_it_walks_as_one_query_after_the_other_would():
    for share in (0.95, 1.1):
        budget = np.float32(share * DISTANCE)
        found = attacked(ATTACK, [budget] * 4)
        point, queries, searches = one_by_one(budget, num_samples=100, max_queries=4000)
        assert int(found.queries[0]) == queries
        if share > 1:
            np.testing.assert_allclose(found.x_adv[0], point, atol=2e-5)
        # The test needs searches with several proposals.
        assert max(searches) > 4


def one_by_one(budget, *, num_samples, max_queries):
    """The attack as a loop of single queries: its result and their number."""
    x = np.asarray(X)
    oracle = jax.jit(best(F, 1))
    estimate = jax.jit(
        lambda point, key: gradient_estimate(
            lambda p: -oracle(p)[2], point, key,
            sigma=0.02 * float(budget), num_samples=num_samples,
        )
    )  # fmt: skip
    point, queries = STARTS[2], 2
    eps = start_eps = np.abs(point - x).max()
    delta_eps, rate, gradient = 0.5 * eps, 0.2 * budget, np.zeros(24)
    losses, searches = [], []
    for number in range(10_000):
        if queries + num_samples + 1 > max_queries:
            break
        new, loss = estimate(jnp.asarray(point), jax.random.fold_in(KEY, number))
        queries += num_samples
        gradient = 0.9 * gradient + 0.1 * np.asarray(new)
        losses = [*losses, float(loss)][-20:]
        if len(losses) == 20 and losses[-1] > losses[0]:
            rate, losses = max(rate / 2, 0.02 * budget), []
        shrink = min(delta_eps, eps - budget) if loss < 0.2 else 0.0
        tried, asked, halvings = rate, 0, 0
        while queries < max_queries:
            radius = max(eps - shrink, budget)
            proposal = point - tried * np.sign(gradient)
            proposal = x + np.clip(proposal - x, -radius, radius)
            queries, asked = queries + 1, asked + 1
            if oracle(jnp.asarray(proposal, jnp.float32)).argmax() == 2:
                point = proposal.astype(np.float32)
                if radius <= budget:
                    return point, queries, searches
                if shrink > 0:
                    losses, delta_eps = [], max(shrink, 0.1 * start_eps)
                eps = max(eps - shrink / 2, budget)
                break
            tried /= 2
            if tried < 0.99 * 0.02 * budget:
                if shrink == 0:
                    break
                halvings += 1
                shrink, tried = (shrink / 2 if halvings < 8 else 0.0), rate
        searches.append(asked)
    return point, queries, searches


def test_an_example_that_is_the_target_already_is_left_alone():
    found = attacked(ATTACK, [0.1] * 4, y=jnp.int32(0))
    np.testing.assert_array_equal(found.x_adv[0], X)
    assert found.success.all() and int(found.queries[0]) == 1


def test_a_start_within_the_budget_is_the_answer():
    found = attacked(ATTACK, [9.0] * 4)
    np.testing.assert_allclose(found.x_adv[0], STARTS[2], atol=1e-6)
    assert found.success.all() and int(found.queries[0]) == 2


def test_a_start_that_is_not_its_class_is_a_failure_at_once():
    # The start of class 2 is an example of class 1, within the budget or outside.
    attack = partial_information(starts=STARTS[[0, 2, 1]], bounds=FREE)
    found = attacked(attack, [0.1, 5.0])
    np.testing.assert_array_equal(found.success, [False, False])
    np.testing.assert_array_equal(found.x_adv, jnp.stack([X, X]))
    np.testing.assert_array_equal(found.queries, [2, 2])


def test_a_first_box_may_be_given():
    def begun(eps):
        attack = partial_information(starts=STARTS, starting_eps=eps, bounds=FREE)
        return attack.init(F, X, Y, KEY, jnp.float32(1.1 * DISTANCE))

    near, far = begun(2.0), begun(9.0)
    np.testing.assert_allclose(jnp.abs(near.current - X).max(), 2.0, rtol=1e-6)
    np.testing.assert_allclose(far.current, STARTS[2], atol=1e-6)
    assert not near.common.done and not far.common.done
    # This box holds no point of the class.
    assert begun(0.9 * float(DISTANCE)).common.done


def test_silence_and_no_budget_give_numbers():
    f = linear(WEIGHTS, [0.5, 0.0, 0.0])
    found = attacked(ATTACK, [0.0, 1e-6, 0.3, 1.0], x=jnp.zeros(24), logits_fn=f)
    assert jnp.isfinite(found.x_adv).all()
    np.testing.assert_array_equal(found.success, [False, False, True, True])


def test_units_do_not_matter():
    # A power of two scales floats without rounding.
    smaller = partial_information(starts=STARTS / 64, bounds=FREE, max_queries=4000)
    budgets = DISTANCE * np.array([0.9, 1.05, 1.1, 1.2])
    found = attacked(ATTACK, budgets)
    small = attacked(
        smaller, budgets / 64, x=X / 64, logits_fn=linear(64 * WEIGHTS, np.zeros(3))
    )
    np.testing.assert_array_equal(small.queries, found.queries)
    np.testing.assert_allclose(small.x_adv * 64, found.x_adv, atol=1e-4)


def test_chunks_change_memory_and_nothing_else():
    budget = jnp.float32(1.1 * DISTANCE)
    attacks = [
        partial_information(starts=STARTS, bounds=FREE, chunk=chunk)
        for chunk in (None, 17)
    ]
    state = attacks[0].init(F, X, Y, KEY, budget)
    whole, parts = (jax.jit(attack.step)(F, state) for attack in attacks)
    np.testing.assert_allclose(whole.current, parts.current, atol=1e-5)
    np.testing.assert_array_equal(whole.common.queries, parts.common.queries)


def test_a_state_keeps_its_shapes_and_types():
    attack = partial_information(starts=STARTS)
    state = attack.init(F, X, Y, KEY, jnp.float32(0.1))
    before = jax.eval_shape(lambda state: state, state)
    after = jax.eval_shape(functools.partial(attack.step, F), state)
    assert jax.tree.leaves(before) == jax.tree.leaves(after)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"targeted": False}, "targeted=False"),
        ({"top_k": 0}, "top_k=0"),
        ({"max_queries": 102}, "one step needs 103"),
        ({"num_samples": 5}, "even number"),
        ({"starting_eps": 0.0}, "starting_eps=0.0"),
        ({"relative_delta_eps": -1.0}, "relative_delta_eps=-1.0"),
        ({"adv_thresh": 0.0}, "adv_thresh=0.0"),
        ({"conservative": 0.5}, "conservative=0.5"),
        ({"starts": np.full((3, 24), np.nan, np.float32)}, "clean examples"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        partial_information(**({"starts": STARTS} | options))


def test_starts_of_another_stage_are_refused():
    attack = partial_information(starts=STARTS[:, :4], bounds=FREE)
    with pytest.raises(ValueError, match="one start a class"):
        run(attack, F, X, Y, KEY, 0.5)
