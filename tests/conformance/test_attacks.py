"""Every attack keeps the contract of `Attack`, targeted or not."""

import functools
import inspect

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import ATTACKS, run, run_batch
from tests.problems import small_network

BOUNDS = (-1.0, 1.0)
F = small_network()
GENERATOR = np.random.default_rng(3)
# One clip touches its bounds, one is silent, and the last three are wrong already.
X = GENERATOR.uniform(-0.7, 0.7, (10, 12)).astype(np.float32)
X[0] = np.sign(X[0])
X[1] = 0.0
LOGITS = np.asarray(jax.vmap(F)(jnp.asarray(X)))
ANSWERS = LOGITS.argmax(axis=1)
WRONG = np.arange(10) >= 7
Y = np.where(WRONG, (ANSWERS + 1) % 3, ANSWERS).astype(np.int32)
GOALS = {False: Y, True: ((ANSWERS + 1 - WRONG) % 3).astype(np.int32)}
KEYS = jax.random.split(jax.random.key(4), 10)
BUDGETS = np.full(10, 0.4, np.float32)
# One clip of each class, for the attack that starts from one.
STARTS = np.stack([X[np.flatnonzero(c == ANSWERS)[0]] for c in range(3)])
SMALL = {
    "pgd": {"num_steps": 12, "num_restarts": 2},
    "noise": {"norm": "linf", "num_draws": 3},
    "carlini_wagner": {"num_searches": 3, "num_steps": 40, "learning_rate": 0.05},
    "lbfgs": {"num_searches": 4, "num_steps": 15},
    "jsma": {"max_steps": 6, "gamma": 1.0},
    "nes": {"num_samples": 10, "max_queries": 200},
    "partial_information": {
        "num_samples": 20,
        "max_queries": 800,
        "starts": STARTS,
    },
    "imperceptible": {
        "sample_rate_hz": 16_000,
        "num_steps": (40, 20),
        "learning_rates": (0.05, 0.01),
        "initial_eps": 0.5,
    },
}
VARIANTS = {
    "carlini_wagner": [{"norm": "l0"}, {"norm": "linf"}],
    "deepfool": [{"norm": "linf"}, {"select": "max"}],
    "pgd": [{"norm": "l2"}],
    "jsma": [{"pairs": False}],
}


def cases():
    seen = set()
    for name, build in ATTACKS.items():
        takes = inspect.signature(build).parameters
        for variant in [{}, *VARIANTS.get(name, [])]:
            for targeted in (False, True):
                if targeted and "targeted" not in takes:
                    continue
                if not targeted and name == "partial_information":
                    continue
                if targeted and variant:
                    continue
                options = {"bounds": BOUNDS} | SMALL.get(name, {}) | variant
                options |= {"targeted": targeted} if "targeted" in takes else {}
                words = [name, *map(str, variant.values())] + ["targeted"] * targeted
                # Three programs each, of code that the first case runs for the most.
                marks = [pytest.mark.slow] if len(words) > 1 and name in seen else []
                seen.add(name)
                yield pytest.param((build, options), id="-".join(words), marks=marks)


@pytest.fixture(scope="module", params=list(cases()))
def case(request):
    """An attack, what it is to reach, and its results by `vmap` of `run`."""
    build, options = request.param
    attack = build(**options)
    goals = GOALS[attack.targeted]
    traces = []

    def traced(x):
        traces.append(1)
        return F(x)

    many = jax.jit(jax.vmap(functools.partial(run, attack, traced)))
    found = many(jnp.asarray(X), jnp.asarray(goals), KEYS, jnp.asarray(BUDGETS))
    return attack, goals, many, traces, jax.tree.map(np.asarray, found)


def test_results_lie_in_the_ball_and_the_bounds(case):
    attack, _, _, _, found = case
    assert np.isfinite(found.x_adv).all()
    assert found.x_adv.min() >= BOUNDS[0] - 1e-5
    assert found.x_adv.max() <= BOUNDS[1] + 1e-5
    if attack.fixed_budget:
        order = {"linf": np.inf, "l2": 2}[attack.norm]
        sizes = np.linalg.norm(found.x_adv - X, order, axis=1)
        assert (sizes <= BUDGETS + 1e-5).all()


def test_success_is_what_a_second_look_sees(case):
    attack, goals, _, _, found = case
    answers = np.asarray(jax.vmap(F)(jnp.asarray(found.x_adv))).argmax(axis=1)
    met = answers == goals if attack.targeted else answers != goals
    np.testing.assert_array_equal(found.success, met)
    assert found.queries.min() >= 0


def test_examples_that_meet_the_goal_already_stay_so(case):
    attack, goals, _, _, found = case
    there = goals == ANSWERS if attack.targeted else goals != ANSWERS
    assert there.sum() == 3
    # Noise is blind, and FGSM takes its one step whatever it does.
    if attack.max_steps > 2:
        assert found.success[there].all()
    if not attack.fixed_budget:
        np.testing.assert_array_equal(found.x_adv[there], X[there])


def test_one_at_a_time_the_driver_and_the_batch_agree(case):
    attack, goals, _, _, found = case
    one = jax.jit(functools.partial(run, attack, F))
    # Rounding differs between shapes, and a search for the smallest perturbation ends
    # somewhere within its tolerance.
    atol = 2e-3 if attack.fixed_budget else 1e-2
    for index in (1, 4):
        alone = one(X[index], goals[index], KEYS[index], BUDGETS[index])
        np.testing.assert_allclose(alone.x_adv, found.x_adv[index], atol=atol)
        assert alone.success == found.success[index]
    seen = dict(run_batch(attack, F, X, goals, KEYS, BUDGETS, num_slots=4))
    for index in range(len(X)):
        np.testing.assert_allclose(seen[index].x_adv, found.x_adv[index], atol=atol)
        assert seen[index].success == found.success[index]


def test_the_same_key_gives_the_same_result_without_compiling_again(case):
    _, goals, many, traces, found = case
    before = len(traces)
    second = many(jnp.asarray(X), jnp.asarray(goals), KEYS, jnp.asarray(BUDGETS))
    np.testing.assert_array_equal(second.x_adv, found.x_adv)
    many(jnp.asarray(X), jnp.asarray(goals), KEYS, jnp.asarray(2 * BUDGETS))
    assert len(traces) == before


def test_nan_is_refused(case):
    attack, goals, _, _, _ = case
    x = X.copy()
    x[5, 0] = np.nan
    with pytest.raises(ValueError, match="example 5 holds NaN"):
        next(run_batch(attack, F, x, goals, KEYS, BUDGETS))
