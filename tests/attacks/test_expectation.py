from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import State, fgsm, pgd, run, run_batch
from advjax.attacks.base import Attack, Common, begin
from advjax.attacks.black_box.nes import nes
from advjax.attacks.expectation import expectation
from tests.problems import half_space, linear

NORMAL = np.array([3.0, -4.0, 0.5, 1.0, -2.0, 1.5], np.float32)
X = jnp.array([0.2, -0.1, 0.0, 0.1, 0.05, 0.1])
FREE = (-np.inf, np.inf)
DISTANCE = float(NORMAL @ X) / np.abs(NORMAL).sum()


def flipped(key, x):
    """Entries whose sign, and so their gradient's, is wrong three times in eight."""
    return x * jnp.where(jax.random.uniform(key, x.shape) < 0.375, -1.0, 1.0)


def shifted(key, x):
    return x + 0.1 * jax.random.normal(key, x.shape)


def attacked(attack, budget, num_keys=20):
    each = jax.jit(
        jax.vmap(
            lambda key: run(
                attack, half_space(NORMAL), X, jnp.int32(1), key, jnp.float32(budget)
            )
        )
    )
    return each(jax.random.split(jax.random.key(0), num_keys))


def test_the_mean_finds_what_one_draw_misses():
    one, many = (
        attacked(
            expectation(fgsm(bounds=FREE), sample=flipped, num_samples=num),
            1.02 * DISTANCE,
        )
        for num in (1, 2000)
    )
    # FGSM needs all six signs, which a draw leaves alone with probability 0.06.
    assert one.success.mean() < 0.3
    assert many.success.all()
    np.testing.assert_allclose(
        np.asarray(many.x_adv) - X[None],
        np.broadcast_to(-1.02 * DISTANCE * np.sign(NORMAL), (20, 6)),
        atol=1e-6,
    )


@pytest.mark.slow
@pytest.mark.parametrize("build", [pgd, nes])
def test_success_is_measured_on_the_function_given(build):
    options = {"num_steps": 10} if build is pgd else {"max_queries": 1000}
    attack = expectation(build(bounds=FREE, **options), sample=shifted, num_samples=8)
    found = attacked(attack, 1.3 * DISTANCE)
    logits = jax.vmap(half_space(NORMAL))(found.x_adv)
    np.testing.assert_array_equal(found.success, logits.argmax(axis=1) != 1)
    assert found.success.mean() > 0.5
    # A stop at the first success by the means is sometimes too early for the plane.
    late = expectation(pgd(bounds=FREE, stop="last"), sample=shifted, num_samples=8)
    assert attacked(late, 1.3 * DISTANCE).success.all()


def test_every_forward_pass_is_counted():
    attack = expectation(
        pgd(num_steps=3, stop="last", bounds=FREE), sample=shifted, num_samples=5
    )
    np.testing.assert_array_equal(attacked(attack, 0.1).queries, jnp.full(20, 15))


class Record(NamedTuple):
    common: Common
    seen: jax.Array
    again: jax.Array


def record():
    """An attack that records its two views of x in each step."""

    def init(f, x, y, key, budget):
        common = begin(x, y, budget)._replace(queries=jnp.int32(2))
        return Record(common=common, seen=f(x), again=f(x))

    def step(f, state):
        common = state.common
        return Record(
            common=common._replace(queries=common.queries + 2),
            seen=f(common.x),
            again=f(common.x),
        )

    return Attack(init, step, 3, "linf", FREE)


def test_noise_is_fresh_in_every_step_and_one_within_it():
    f = linear(np.eye(6), np.zeros(6))
    attack = expectation(record(), sample=shifted, num_samples=4)

    def walk(key):
        state = attack.init(f, X, jnp.int32(0), key, jnp.float32(1.0))
        states = [state]
        for _ in range(3):
            states.append(attack.step(f, states[-1]))
        return jax.tree.map(lambda *rows: jnp.stack(rows), *states)

    seen = jax.jit(walk)(jax.random.key(0))
    np.testing.assert_array_equal(seen.inner.seen, seen.inner.again)
    for one in range(4):
        for other in range(one):
            assert jnp.abs(seen.inner.seen[one] - seen.inner.seen[other]).min() > 1e-6
    np.testing.assert_array_equal(seen.queries, [8, 16, 24, 32])
    again = jax.jit(walk)(jax.random.key(0))
    np.testing.assert_array_equal(again.inner.seen, seen.inner.seen)
    other = jax.jit(walk)(jax.random.key(1))
    assert jnp.abs(other.inner.seen - seen.inner.seen).min() > 1e-6


def test_the_mean_is_of_probabilities():
    f = linear(np.eye(6), np.zeros(6))
    points = jnp.stack([10 * X, -5 * X, jnp.zeros(6)])

    def sample(key, x):
        # The mean of many draws is close to the known one.
        return points[jax.random.randint(key, (), 0, 3)] + 0 * x

    attack = expectation(record(), sample=sample, num_samples=20_000)
    state = attack.init(f, X, jnp.int32(0), jax.random.key(0), jnp.float32(1.0))
    wanted = jax.nn.softmax(points, axis=1).mean(axis=0)
    np.testing.assert_allclose(jnp.exp(state.inner.seen), wanted, rtol=0.02)
    np.testing.assert_allclose(jnp.exp(state.inner.seen).sum(), 1.0, rtol=1e-4)


def test_a_state_is_one_and_keeps_its_shapes_and_types():
    attack, f = expectation(pgd(), sample=shifted), half_space(NORMAL)
    state = attack.init(f, X, jnp.int32(1), jax.random.key(0), jnp.float32(0.1))
    assert isinstance(state, State)
    before = jax.eval_shape(lambda state: state, state)
    after = jax.eval_shape(lambda state: attack.step(f, state), state)
    assert jax.tree.leaves(before) == jax.tree.leaves(after)
    # All but the functions and the call that it shows.
    own = {"init": None, "step": None, "call": ""}
    assert attack._replace(**own) == pgd()._replace(**own, any_length=False)


def test_slots_give_what_run_gives():
    attack = expectation(pgd(num_steps=8, bounds=FREE), sample=shifted, num_samples=4)
    f = half_space(NORMAL)
    x = np.asarray(jax.random.normal(jax.random.key(2), (5, 6))) * np.float32(0.2)
    y = np.asarray(jax.vmap(f)(jnp.asarray(x)).argmax(axis=1))
    keys = jax.random.split(jax.random.key(1), 5)
    each = jax.jit(jax.vmap(lambda *row: run(attack, f, *row, jnp.float32(0.1))))
    wanted = each(jnp.asarray(x), jnp.asarray(y), keys)
    found = dict(run_batch(attack, f, x, y, keys, 0.1, num_slots=2, block=3))
    for index in range(5):
        np.testing.assert_allclose(found[index].x_adv, wanted.x_adv[index], atol=1e-5)
        assert found[index].queries == wanted.queries[index]
        assert found[index].success == wanted.success[index]


def test_no_transformations_are_refused():
    with pytest.raises(ValueError, match="num_samples=0"):
        expectation(pgd(), sample=shifted, num_samples=0)
