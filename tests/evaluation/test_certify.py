import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import evaluation, smoothing

W = jnp.asarray([[1.0, -1.0], [0.5, 0.2], [0.0, 0.3]])
LINEAR = jax.tree_util.Partial(lambda w, x: x @ w, W)


def points(count=6):
    rng = np.random.default_rng(0)
    return [
        evaluation.Point(i, f"clip-{i}", rng.normal(size=3).astype(np.float32), i % 2)
        for i in range(count)
    ]


def rows(items, *, bound="clopper_pearson", waveform_bound=np.nan, **resume):
    found = evaluation.certify_points(
        LINEAR,
        items,
        jax.random.key(0),
        noise=smoothing.gaussian(0.5),
        plan=smoothing.VotePlan(20, 200, 0.01, smoothing.BOUNDS[bound]((0.2, 0.5))),
        waveform_bound=waveform_bound,
        resume=evaluation.CertifyResume(**resume),
    )
    return {row.id: row._replace(time=0.0) for row in found}


def test_rows_do_not_depend_on_order_or_company():
    whole = rows(points())
    assert rows(points()[::-1]) == whole
    assert rows(points()[2:3]) == {"clip-2": whole["clip-2"]}


def test_sequential_rows_do_not_depend_on_order_company_or_what_was_counted():
    tallies = {}
    options = {"bound": "sequential"}
    whole = rows(points(), on_tally=tallies.__setitem__, **options)
    assert len({row.n for row in whole.values()}) > 1
    assert rows(points()[::-1], **options) == whole
    assert rows(points()[2:3], **options) == {"clip-2": whole["clip-2"]}
    # Those of the last look before a point's own.
    assert max(tally.num_estimation for tally in tallies.values()) > 20
    assert rows(points(), tallies=tallies, **options) == whole


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
