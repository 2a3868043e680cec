import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import evaluation
from advjax.attacks import pgd, run_batch, snapshots
from advjax.runtime.parallel import data_mesh

W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def points(count=6):
    rng = np.random.default_rng(0)
    return [
        evaluation.Point(i, f"clip-{i}", rng.normal(size=3).astype(np.float32), i % 2)
        for i in range(count)
    ]


def test_an_example_at_its_target_is_no_success():
    reached = 0
    for target in (0, 1):
        found = evaluation.attack_points(
            pgd(num_steps=1, targeted=True, bounds=(-9.0, 9.0)),
            LINEAR,
            points(),
            jax.random.key(0),
            budgets=[1e-6] * len(points()),
            targets=[target] * len(points()),
        )
        for attacked in found:
            reached += attacked.row.predict == target
            assert not attacked.row.success
    assert reached


def test_attacked_points_are_the_same_over_devices(monkeypatch):
    seen = []

    def watched(*args, **options):
        seen.append(options["mesh"])
        return run_batch(*args, **options)

    monkeypatch.setattr(evaluation.attack, "run_batch", watched)
    attack = pgd(num_steps=5, num_restarts=1, bounds=(-9.0, 9.0))
    one, two = (
        {
            found.row.id: found
            for found in evaluation.attack_points(
                attack,
                LINEAR,
                points(),
                jax.random.key(0),
                budgets=[0.3] * 6,
                mesh=mesh,
            )
        }
        for mesh in (None, data_mesh(jax.devices()[:2]))
    )
    assert [mesh and mesh.size for mesh in seen] == [None, 2]
    assert 0 < sum(found.row.success for found in one.values()) < 6
    assert set(two) == set(one) == {point.id for point in points()}
    for id, found in two.items():
        np.testing.assert_allclose(found.x_adv, one[id].x_adv, atol=1e-6)
        assert found.row.success == one[id].row.success
        assert found.row.queries == one[id].row.queries


@pytest.mark.parametrize("damage", ["cut", "finished", "others"])
def test_a_damaged_snapshot_is_told_and_its_points_attacked_anew(tmp_path, damage):
    attack = pgd(num_steps=5, num_restarts=1, bounds=(-9.0, 9.0))
    path = tmp_path / "attack.npz"
    said = []

    def attacked(items):
        return {
            row.id: row._replace(time=0.0)
            for row, _ in evaluation.attack_points(
                attack, LINEAR, items, jax.random.key(0), budgets=[0.3] * len(items),
                num_slots=2,
                resume=evaluation.AttackResume(snapshot=path, note=said.append),
            )
        }  # fmt: skip

    whole = attacked(points())
    assert not path.exists() and not said
    seen = []
    list(
        run_batch(
            attack, LINEAR, np.stack([p.x for p in points()]), np.zeros(6, np.int32),
            jax.random.split(jax.random.key(0), 6), 0.3, num_slots=2,
            on_block=seen.append,
        )
    )  # fmt: skip
    slots = seen[-1]._replace(example=np.full(2, -1), following=6)
    ids = [f"clip-{i}" for i in range(6)] if damage != "others" else [*"abcdef"]
    snapshots.save(path, slots, ids)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-9])
    assert attacked(points()) == whole
    assert len(said) == 1 and str(path) in said[0] and "anew" in said[0]
    assert not path.exists()


@pytest.mark.slow
def test_padded_points_have_the_rows_of_their_own_length_and_resume(tmp_path):
    def logits_fn(x, length=None):
        del length
        return jnp.stack([x.sum(), jnp.square(x).sum(), jnp.abs(x).sum()])

    f, path = jax.tree_util.Partial(logits_fn), tmp_path / "attack.npz"
    attack = pgd(num_steps=120, norm="l2", stop="last", bounds=(-9.0, 9.0))
    rng, every = np.random.default_rng(0), []
    for number in range(6):
        x = rng.normal(size=3 + 2 * (number % 2)).astype(np.float32)
        every.append(evaluation.Point(number, f"clip-{number}", x, number % 3))
    padded = [point._replace(pad_to=8) for point in every]

    def attacked(points, stop=9, **resume):
        found = {}
        for row, x_adv in evaluation.attack_points(
            attack, f, points, jax.random.key(0), budgets=[0.1] * len(points),
            num_slots=2, resume=evaluation.AttackResume(every_s=0.0, **resume),
        ):  # fmt: skip
            found[row.id] = row._replace(time=0.0), x_adv
            if len(found) == stop:
                break
        return found

    wanted = attacked(every[::2]) | attacked(every[1::2])
    early = attacked(padded, stop=2, snapshot=path)
    assert path.exists() and len(early) == 2
    said = []
    late = attacked(padded, snapshot=path, done=set(early), note=said.append)
    assert not said and set(early | late) == set(wanted)
    for id, (row, x_adv) in (early | late).items():
        np.testing.assert_allclose(x_adv, wanted[id][1], atol=1e-5)
        for got, want in zip(row, wanted[id][0], strict=True):
            assert got == (want if isinstance(want, str) else pytest.approx(want, 1e-3))
