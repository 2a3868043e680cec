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


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The bytes of a snapshot of six examples in two slots."""
    path = tmp_path_factory.mktemp("snapshots") / "attack.npz"
    for _ in run_batch(
        ATTACK, F, X, Y, KEYS, 0.3, num_slots=2, block=3,
        on_block=lambda slots: snapshots.save(path, slots, "abcde\0"),
    ):  # fmt: skip
        break
    return path.read_bytes()


def changed(whole, tmp_path, **arrays):
    """A snapshot with other arrays and their digest."""
    path = tmp_path / "attack.npz"
    path.write_bytes(whole)
    with np.load(path) as found:
        found = {name: found[name] for name in found if name != "digest"} | arrays
    np.savez(path, digest=snapshots._digest(found), **found)
    return path


def load(path):
    return snapshots.load(path, ATTACK, F, jnp.asarray(X[0]))


def test_an_id_keeps_its_zeros(whole, tmp_path):
    _, ids = load(changed(whole, tmp_path))
    assert ids == [*"abcde\0"[:5], "\0"]


def test_any_changed_byte_of_the_content_is_noticed(whole, tmp_path):
    path = tmp_path / "attack.npz"
    rng = np.random.default_rng(0)
    for place in rng.integers(0, len(whole), 40):
        content = bytearray(whole)
        content[place] ^= 1 << rng.integers(8)
        path.write_bytes(content)
        try:
            slots, ids = load(path)
        except ValueError as error:
            assert "delete it" in str(error)
            continue
        # Dates and attributes of the archive's members are not digested.
        np.testing.assert_array_equal(slots.state.common.x_adv, _state(whole, tmp_path))
        assert ids == [*"abcde", "\0"]


def _state(whole, tmp_path):
    return load(changed(whole, tmp_path))[0].state.common.x_adv


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"following": np.int64(7)}, "7 of 6 examples are begun"),
        ({"following": np.int64(-1)}, "-1 of 6"),
        ({"example": np.int64([5, 0])}, "not begun"),
        ({"example": np.int64([0, 0])}, "two slots work on one example"),
        ({"example": np.int64([-2, 0])}, "not begun"),
        ({"steps": np.int32([-1, 0])}, "other than 0 to"),
        ({"steps": np.int32([10**6, 0])}, "other than 0 to"),
        ({"steps": np.float32([0, 0])}, "other shapes"),
        ({"steps": np.int32([0, 0, 0])}, "other shapes"),
        ({"steps": np.int32([])}, "0 slots"),
        ({"example": np.float64([0, 1])}, "other shapes"),
        ({"ids": np.frombuffer(b'["a", "a"]', np.uint8)}, "an id occurs twice"),
        ({"ids": np.frombuffer(b'{"a": 1}', np.uint8)}, "no list of texts"),
        ({"ids": np.frombuffer(b"[" * 99_999, np.uint8)}, "recursion"),
        ({"leaf0": np.array([object()] * 2)}, "other shapes"),
        ({"more": np.int32(1)}, "other arrays"),
    ],
)
def test_a_snapshot_that_no_attack_leaves_is_refused(
    whole, tmp_path, arrays, complaint
):
    with pytest.raises(ValueError, match=f"(?s){complaint}.*delete it"):
        load(changed(whole, tmp_path, **arrays))


def test_a_compressed_snapshot_is_not_unpacked(whole, tmp_path):
    path = tmp_path / "attack.npz"
    path.write_bytes(whole)
    with np.load(path) as found:
        np.savez_compressed(path.with_name("small.npz"), **found)
    with pytest.raises(ValueError, match="not stored as it was saved"):
        load(path.with_name("small.npz"))
