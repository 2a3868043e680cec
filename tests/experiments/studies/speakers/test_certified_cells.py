"""Certified cells as the tables read them."""

import numpy as np
import pytest

from experiments.studies.speakers import certified_cells
from tests.experiments.studies.speakers.made_cells import found, make_cell


def test_only_cells_with_certificates_are_read(tmp_path):
    one = make_cell(tmp_path, "mfbe", "plain", 0.5, [0.1])
    inputs = type(one)("inputs", one.values)
    (cell,) = certified_cells.read(found(tmp_path, one, inputs))
    assert (cell.sigma, cell.run.label) == (0.5, "σ = 0.5")
    assert cell.num_votes == 500 + 10_000


def test_networks_are_grouped_by_all_but_their_seed(tmp_path):
    made = [
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, [0.1]),
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, [0.1], seed=2),
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, [0.1], split="chapter"),
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, [0.1], check="fixed"),
        make_cell(tmp_path, "mfbe", "plain", 0.5, [0.1]),
        make_cell(tmp_path, "mfbe", "plain", 0.25, [0.1]),
        make_cell(tmp_path, "magnitude", "plain", 0.25, [0.1]),
    ]
    groups = certified_cells.networks(
        certified_cells.read(found(tmp_path, *made[::-1])), stage="mfbe"
    )
    assert [(key, len(group)) for key, group in groups.items()] == [
        ((0.25, "plain", False), 1),
        ((0.5, "plain", False), 1),
        ((0.5, "gaussian", False), 2),
        ((0.5, "gaussian", True), 1),
    ]
    seeds = [c.axes.get("seed", 0) for c in groups[0.5, "gaussian", False]]
    assert seeds == [0, 2]


def test_radii_beyond_the_tested_ones_are_cut(tmp_path):
    asked = (0.25, 0.5, 2.0)
    made = [
        make_cell(tmp_path, "mfbe", "plain", 0.5, [0.51, 0.3, None], asked=asked),
        make_cell(tmp_path, "mfbe", "plain", 0.1, [0.51], bound="clopper_pearson"),
    ]
    early, fixed = certified_cells.read(found(tmp_path, *made))
    assert early.stops_early and early.largest_tested == 0.5
    np.testing.assert_array_equal(early.tested.rows.radius, [0.5, 0.3, 0.0])
    assert early.tested.cap == 0.5 and early.rows.radius[0] == 0.51
    assert early.tests(0.25) and early.tests(0.0) and not early.tests(0.3)
    assert fixed.tests(0.3) and fixed.largest_tested == pytest.approx(0.317)


def test_shares_are_of_points_that_all_runs_have(tmp_path):
    made = [
        make_cell(tmp_path, "mfbe", "plain", 0.5, [0.5] * 6),
        make_cell(tmp_path, "mfbe", "plain", 0.5, [None, 0.5, 0.1, 0.5], seed=1),
    ]
    cells = certified_cells.read(found(tmp_path, *made))
    rows = certified_cells.on_same_points(cells)
    assert [each.id for each in rows] == [cells[1].rows.id] * 2
    share = certified_cells.certified_share(rows, 0.5)
    assert share.value == (1 + 0.5) / 2
    assert len(set(share.clusters)) == certified_cells.num_utterances(rows[0]) == 2
