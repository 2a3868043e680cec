import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import pgd, run
from advjax.attacks.black_box.nes import nes
from tests.problems import half_space, linear

NORMAL = np.array([3.0, -4.0, 0.5, 1.0], np.float32)
X = jnp.array([0.2, -0.1, 0.0, 0.1])
FREE = (-np.inf, np.inf)


@functools.lru_cache
def program(attack):
    def each(f, x, y, budgets):
        key = jax.random.key(0)
        return jax.vmap(lambda budget: run(attack, f, x, y, key, budget))(budgets)

    return jax.jit(each)


def attacked(attack, budgets, y=1, logits_fn=None, x=X):
    f = half_space(NORMAL) if logits_fn is None else jax.tree_util.Partial(logits_fn)
    return program(attack)(f, x, jnp.int32(y), jnp.asarray(budgets, jnp.float32))


@pytest.mark.parametrize(
    ("norm", "dual", "top_k"), [("linf", 1, None), ("l2", 2, None), ("linf", 1, 1)]
)
def test_success_begins_where_the_plane_is(norm, dual, top_k):
    distance = float(NORMAL @ X) / np.linalg.norm(NORMAL, dual)
    attack = nes(norm=norm, bounds=FREE, top_k=top_k, max_queries=3000)
    found = attacked(attack, [0.98 * distance, 1.05 * distance])
    np.testing.assert_array_equal(found.success, [False, True])
    moved = np.asarray(found.x_adv) - np.asarray(X)
    order = {"linf": np.inf, "l2": 2}[norm]
    assert (
        np.linalg.norm(moved, order, axis=1)
        <= np.array([0.98, 1.05]) * distance * (1 + 1e-5)
    ).all()
    # The best point is kept, close to the optimum within the budget.
    fallen = NORMAL @ X - NORMAL @ found.x_adv[0]
    assert fallen > 0.95 * 0.98 * float(NORMAL @ X)


def test_a_target_is_reached():
    f = linear(np.eye(3), np.zeros(3))
    x = jnp.array([1.0, 0.5, 0.0])
    attack = nes(targeted=True, bounds=FREE, max_queries=3000)
    found = attacked(attack, [0.45, 0.55], y=2, logits_fn=f, x=x)
    np.testing.assert_array_equal(found.success, [False, True])
    assert int(f(found.x_adv[1]).argmax()) == 2


def test_every_forward_pass_is_counted_and_the_limit_holds():
    asked = []

    def watched(x):
        jax.debug.callback(lambda _: asked.append(1), x)
        return half_space(NORMAL)(x)

    for max_queries, budget in [(44, 0.05), (400, 0.4)]:
        asked.clear()
        attack = nes(num_samples=10, max_queries=max_queries, bounds=FREE)
        found = run(attack, watched, X, jnp.int32(1), jax.random.key(0), budget)
        jax.effects_barrier()
        # One more query measures the success.
        assert int(found.queries) == len(asked) - 1 <= max_queries
        # A step is 10 + 1, and one query judges x.
        assert int(found.queries) % 11 == 1
        assert bool(found.success) == (budget == 0.4)
        if not found.success:
            assert int(found.queries) == 34


def test_steps_without_gradients_are_climbed():
    def stairs(x):
        return half_space(NORMAL)(jnp.round(x * 32) / 32)

    budget = [1.5 * float(NORMAL @ X) / np.abs(NORMAL).sum()]
    blind = attacked(pgd(random_start=False, bounds=FREE), budget, logits_fn=stairs)
    attack = nes(relative_sigma=0.3, max_queries=3000, bounds=FREE)
    seeing = attacked(attack, budget, logits_fn=stairs)
    assert not blind.success.any() and seeing.success.all()
    sealed = attacked(
        attack, budget, logits_fn=lambda x: stairs(jax.lax.stop_gradient(x))
    )
    np.testing.assert_array_equal(sealed.x_adv, seeing.x_adv)


def test_an_example_that_is_wrong_already_is_left_alone():
    found = attacked(nes(), [0.3], y=0)
    np.testing.assert_array_equal(found.x_adv[0], X)
    assert found.success.all() and int(found.queries[0]) == 1


@pytest.mark.parametrize("loss", ["cross_entropy", "margin"])
def test_silence_and_no_budget_give_numbers(loss):
    attack = nes(loss=loss, max_queries=500, bounds=(-1.0, 1.0))
    f = half_space(NORMAL, 0.5)
    found = attacked(attack, [0.0, 0.02, 0.5], logits_fn=f, x=jnp.zeros(4))
    assert jnp.isfinite(found.x_adv).all()
    np.testing.assert_array_equal(found.x_adv[0], jnp.zeros(4))
    np.testing.assert_array_equal(found.success, [False, False, True])


def test_chunks_change_memory_and_nothing_else():
    whole, parts = (
        attacked(nes(chunk=chunk, max_queries=600, bounds=FREE), [0.05, 0.4])
        for chunk in (None, 7)
    )
    np.testing.assert_allclose(whole.x_adv, parts.x_adv, atol=1e-6)
    np.testing.assert_array_equal(whole.queries, parts.queries)


def test_bounds_hold():
    found = attacked(nes(bounds=(-0.12, 0.21), max_queries=600), [0.1])
    assert found.x_adv.min() >= -0.12 and found.x_adv.max() <= 0.21


def test_a_state_keeps_its_shapes_and_types():
    attack, f = nes(), half_space(NORMAL)
    state = attack.init(f, X, jnp.int32(1), jax.random.key(0), jnp.float32(0.1))
    before = jax.eval_shape(lambda state: state, state)
    after = jax.eval_shape(functools.partial(attack.step, f), state)
    assert jax.tree.leaves(before) == jax.tree.leaves(after)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"norm": "l0"}, "linf, l2"),
        ({"bounds": (1.0, -1.0)}, "least value"),
        ({"num_samples": 7}, "even number"),
        ({"max_queries": 51}, "one step needs 52"),
        ({"relative_min_step": 0.5}, "0 < least <= greatest"),
        ({"relative_sigma": 0.0}, "more than 0"),
        ({"plateau_length": 1}, "at least 2"),
        ({"plateau_drop": 0.5}, "at least 1"),
        ({"momentum": 1.0}, "momentum < 1"),
        ({"chunk": 0}, "or None"),
        ({"top_k": 0}, "top_k=0"),
        ({"loss": "hinge"}, "cross_entropy, margin"),
        ({"loss": "margin", "top_k": 1}, "two classes"),
    ],
)
def test_impossible_options_are_refused(options, complaint):
    with pytest.raises(ValueError, match=complaint):
        nes(**options)
