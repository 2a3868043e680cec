import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.attacks import pgd, run_batch, snapshots
from tests.problems import linear

F = linear(np.random.default_rng(0).normal(size=(3, 5)), np.zeros(3))
X = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
Y = np.asarray(jax.vmap(F)(jnp.asarray(X)).argmax(axis=1))
KEYS = jax.random.split(jax.random.key(2), 6)
ATTACK = pgd(num_steps=30, num_restarts=2, bounds=(-9.0, 9.0))


def test_an_attack_goes_on_from_a_file_bit_for_bit(tmp_path):
    options = {"num_slots": 2, "block": 3}
    wanted = dict(run_batch(ATTACK, F, X, Y, KEYS, 0.3, **options))
    path = tmp_path / "attack.npz"
    ids = [f"ü{n}" for n in range(6)]
    early = {}
    for index, result in run_batch(
        ATTACK, F, X, Y, KEYS, 0.3,
        on_block=lambda slots: snapshots.save(path, slots, ids), **options,
    ):  # fmt: skip
        early[index] = result
        if len(early) == 2:
            break
    slots, found = snapshots.load(path, ATTACK, F, jnp.asarray(X[0]))
    assert found == ids
    late = dict(run_batch(ATTACK, F, X, Y, KEYS, 0.3, slots=slots, **options))
    assert set(early) | set(late) == set(range(6))
    for index, result in (late | early).items():
        np.testing.assert_array_equal(result.x_adv, wanted[index].x_adv)
        assert result.queries == wanted[index].queries


@pytest.mark.parametrize("damage", ["cut", "other attack"])
def test_a_file_that_cannot_be_continued_is_refused(tmp_path, damage):
    path = tmp_path / "attack.npz"
    for _ in run_batch(
        ATTACK, F, X, Y, KEYS, 0.3, on_block=lambda s: snapshots.save(path, s, "abcdef")
    ):
        pass
    x = jnp.asarray(X[0])
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:200])
    else:
        x = x[:3]
    with pytest.raises(ValueError, match="delete it"):
        snapshots.load(
            path, ATTACK, F if damage == "cut" else linear(np.eye(3), np.zeros(3)), x
        )
