import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import (
    carlini_wagner,
    pgd,
    run,
    run_batch,
    slot_programs,
    snapshots,
)
from advjax.runtime.parallel import data_mesh
from tests.problems import linear

GENERATOR = np.random.default_rng(0)
F = linear(GENERATOR.normal(size=(4, 6)), GENERATOR.normal(size=4))
X = GENERATOR.normal(size=(11, 6)).astype(np.float32)
Y = np.asarray(jax.vmap(F)(jnp.asarray(X)).argmax(axis=1))
KEYS = jax.random.split(jax.random.key(5), len(X))
ATTACK = pgd(num_steps=12, num_restarts=3, bounds=(-9.0, 9.0))
BUDGETS = np.linspace(0.01, 1.5, len(X), dtype=np.float32)


def collected(**options):
    found = dict(run_batch(ATTACK, F, X, Y, KEYS, BUDGETS, **options))
    assert sorted(found) == list(range(len(X)))
    return [found[index] for index in range(len(X))]


@pytest.fixture(scope="module")
def wanted():
    each = jax.jit(jax.vmap(lambda *row: run(ATTACK, F, *row)))
    found = each(jnp.asarray(X), jnp.asarray(Y), KEYS, jnp.asarray(BUDGETS))
    assert 0 < int(found.success.sum()) < len(X)
    return found


@pytest.mark.parametrize(
    ("num_slots", "block"), [(1, 7), (4, 1), (4, 100), (11, 7), (50, 1)]
)
def test_any_slots_and_blocks_give_what_run_gives(wanted, num_slots, block):
    for index, got in enumerate(collected(num_slots=num_slots, block=block)):
        np.testing.assert_allclose(got.x_adv, wanted.x_adv[index], atol=1e-5)
        assert got.success == wanted.success[index]
        assert got.queries == wanted.queries[index]


@pytest.mark.parametrize("num_devices", [1, pytest.param(4, marks=pytest.mark.slow)])
def test_rows_gathered_on_the_device_are_those_of_the_slots(monkeypatch, num_devices):
    mesh = data_mesh(jax.devices()[:num_devices]) if num_devices > 1 else None
    wanted = collected(num_slots=8, block=5, mesh=mesh)
    taken, gather = [], slot_programs._gather

    def watched(mesh):
        def run(ended, slots):
            taken.append(len(slots))
            return gather(mesh)(ended, slots)

        return run

    monkeypatch.setattr(slot_programs.targets, "on_cpu", lambda: False)
    monkeypatch.setattr(slot_programs, "_gather", watched)
    for got, want in zip(
        collected(num_slots=8, block=5, mesh=mesh), wanted, strict=True
    ):
        jax.tree.map(np.testing.assert_array_equal, got, want)
    assert taken and set(taken) <= {1, 2, 4, 8}


def test_a_run_goes_on_from_any_block_bit_for_bit():
    wanted = collected(num_slots=3, block=2)
    seen = []
    early = {}
    for index, result in run_batch(
        ATTACK, F, X, Y, KEYS, BUDGETS, num_slots=3, block=2,
        on_block=lambda slots: seen.append(jax.tree.map(jnp.copy, slots)),
    ):  # fmt: skip
        early[index] = result
        if len(early) == 4:
            break
    late = dict(
        run_batch(ATTACK, F, X, Y, KEYS, BUDGETS, num_slots=3, block=2, slots=seen[-1])
    )
    for index, want in enumerate(wanted):
        got = (late | early)[index]
        np.testing.assert_array_equal(got.x_adv, want.x_adv)
    assert set(late) | set(early) == set(range(len(X)))


def over(num_devices):
    return data_mesh(jax.devices()[:num_devices])


# A search for the smallest perturbation ends somewhere within its tolerance.
@pytest.mark.parametrize(
    ("attack", "atol"),
    [
        (ATTACK, 1e-5),
        (
            carlini_wagner(norm="l2", num_searches=3, num_steps=30, bounds=(-9.0, 9.0)),
            1e-2,
        ),
    ],
    ids=["within a budget", "smallest perturbation"],
)
@pytest.mark.parametrize("num_devices", [2, 4])
def test_devices_share_the_slots_and_change_no_result(attack, atol, num_devices):
    traces, shares = [], set()

    def traced(weights, x):
        traces.append(1)
        return F.func(*weights, x)

    def note_shares(slots):
        sharding = slots.state.common.x_adv.sharding
        shares.add((len(sharding.device_set), sharding.shard_shape((8, 6))))

    f = jax.tree_util.Partial(traced, F.args)
    wanted = dict(run_batch(attack, f, X, Y, KEYS, BUDGETS, num_slots=8))
    assert sum(result.success for result in wanted.values()) > 0
    options = {"num_slots": 7, "mesh": over(num_devices), "on_block": note_shares}
    first = dict(run_batch(attack, f, X, Y, KEYS, BUDGETS, **options))
    before = len(traces)
    second = dict(run_batch(attack, f, X, Y, KEYS, BUDGETS, **options))
    assert len(traces) == before
    assert shares == {(num_devices, (8 // num_devices, 6))}
    for index, want in wanted.items():
        assert first[index].success == want.success
        assert first[index].queries == want.queries
        np.testing.assert_allclose(first[index].x_adv, want.x_adv, atol=atol)
        np.testing.assert_array_equal(first[index].x_adv, second[index].x_adv)


@pytest.mark.parametrize("num_devices", [None, 2, 4])
def test_a_snapshot_of_two_devices_goes_on_on_any_number(tmp_path, num_devices):
    options = {"num_slots": 6, "block": 2}
    path, early = tmp_path / "attack.npz", {}
    wanted = dict(run_batch(ATTACK, F, X, Y, KEYS, BUDGETS, **options))
    for index, result in run_batch(
        ATTACK, F, X, Y, KEYS, BUDGETS, mesh=over(2),
        on_block=lambda slots: snapshots.save(path, slots, "abcdefghijk"), **options,
    ):  # fmt: skip
        early[index] = result
        if len(early) == 4:
            break
    slots, _ = snapshots.load(path, ATTACK, F, jnp.asarray(X[0]))
    assert (slots.example >= 0).any()
    mesh = None if num_devices is None else over(num_devices)
    late = dict(
        run_batch(ATTACK, F, X, Y, KEYS, BUDGETS, slots=slots, block=2, mesh=mesh)
    )
    assert set(late) | set(early) == set(range(len(X)))
    for index, result in (early | late).items():
        np.testing.assert_allclose(result.x_adv, wanted[index].x_adv, atol=1e-5)
        assert result.queries == wanted[index].queries


def test_bad_examples_are_refused_before_any_work():
    x = X.copy()
    x[3, 2] = np.nan
    with pytest.raises(ValueError, match="example 3 holds NaN"):
        next(run_batch(ATTACK, F, x, Y, KEYS, 0.1))
