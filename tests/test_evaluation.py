import hashlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import evaluation
from advjax.attacks import pgd, run_batch, snapshots
from advjax.representations import Magnitude
from advjax.runtime.parallel import data_mesh
from advjax.smoothing import gaussian

W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def points(count=6):
    rng = np.random.default_rng(0)
    return [
        evaluation.Point(i, f"clip-{i}", rng.normal(size=3).astype(np.float32), i % 2)
        for i in range(count)
    ]


def rows(items, **options):
    settings = {
        "noise": gaussian(0.5),
        "num_selection": 20,
        "num_estimation": 200,
        "alpha": 0.01,
    }
    found = evaluation.certify_points(
        LINEAR, items, jax.random.key(0), clock=lambda: 0.0, **settings | options
    )
    return {row.id: row for row in found}


def test_rows_do_not_depend_on_order_or_company():
    whole = rows(points())
    assert rows(points()[::-1]) == whole
    assert rows(points()[2:3]) == {"clip-2": whole["clip-2"]}


def test_sequential_rows_do_not_depend_on_order_company_or_what_was_counted():
    tallies = {}
    options = {"bound": "sequential", "radii": (0.2, 0.5)}
    whole = rows(points(), on_tally=tallies.__setitem__, **options)
    assert len({row.n for row in whole.values()}) > 1
    assert rows(points()[::-1], **options) == whole
    assert rows(points()[2:3], **options) == {"clip-2": whole["clip-2"]}
    # Those of the last look before a point's own.
    assert max(tally.num_estimation for tally in tallies.values()) > 20
    assert rows(points(), tallies=tallies, **options) == whole
    with pytest.raises(ValueError, match="clopper_pearson, sequential"):
        rows(points(), bound="wald")


def test_points_that_are_done_are_left_out():
    assert set(rows(points(), done={"clip-0", "clip-5"})) == {
        f"clip-{i}" for i in (1, 2, 3, 4)
    }


def test_a_row_says_what_the_certificate_says():
    for point in points():
        row = rows([point])[point.id]
        top = int(np.argmax(point.x @ np.asarray(W)))
        assert row.predict in (top, -1)
        assert row.correct == (row.predict == point.label)
        gap = np.asarray(W[:, 0] - W[:, 1])
        exact = abs(point.x @ gap) / np.linalg.norm(gap)
        assert row.radius <= exact
        if row.radius:
            snr = 20 * np.log10(np.linalg.norm(point.x) / row.radius)
            assert row.snr_db == pytest.approx(snr)


def test_a_radius_is_carried_back_to_the_waveform_where_there_is_a_bound():
    id = max(rows(points()).values(), key=lambda row: row.radius).id
    (point,) = (point for point in points() if point.id == id)
    certified = rows([point._replace(wave_l2=8.0)], waveform_bound=4.0)[id]
    assert certified.radius > 0
    assert certified.radius_wave == certified.radius / 4
    assert certified.radius_wave_snr_db == pytest.approx(
        20 * np.log10(32 / certified.radius)
    )
    without = rows([point])[id]
    assert without.radius == certified.radius
    assert np.isnan([without.radius_wave, without.radius_wave_snr_db]).all()


def test_an_examples_key_is_64_bits_of_its_id():
    digest = hashlib.sha256(b"a").digest()
    expected = jax.random.key(7)
    for part in (digest[:4], digest[4:8]):
        expected = jax.random.fold_in(expected, int.from_bytes(part, "big"))
    found = evaluation.example_key(jax.random.key(7), "a")
    assert jax.random.key_data(found).tolist() == jax.random.key_data(expected).tolist()


def test_batched_logits_equal_single_ones_whatever_the_remainder():
    x = np.random.default_rng(1).normal(size=(7, 3)).astype(np.float32)
    for batch_size in (1, 3, 7, 50):
        found = evaluation.logits_of_batch(LINEAR, x, batch_size=batch_size)
        np.testing.assert_allclose(found, x @ np.asarray(W), atol=1e-6)


def test_stage_features_start_from_the_stored_integers():
    audio = np.random.default_rng(0).integers(-3000, 3000, 25_800).astype(np.int16)
    found = evaluation.stage_features(Magnitude(), audio)
    expected = Magnitude().apply(jnp.asarray(audio, jnp.float32) / 32768)
    np.testing.assert_allclose(found, expected, atol=1e-5)


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

    monkeypatch.setattr(evaluation, "run_batch", watched)
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
                clock=lambda: 0.0,
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

    def attacked(items, **options):
        return {
            row.id: row._replace(time=0.0)
            for row, _ in evaluation.attack_points(
                attack, LINEAR, items, jax.random.key(0), budgets=[0.3] * len(items),
                num_slots=2, snapshot=path, note=said.append, **options,
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
