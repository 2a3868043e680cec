"""Checks of the sequential bound and the cost of the study, on synthetic cells."""

from advjax.reports.tables import DASH
from experiments.studies.speakers import certified_cells, vote_tables
from tests.experiments.studies.speakers.made_cells import found, make_cell, step

ASKED = (0.01, 0.25, 0.5, 1.5)


def test_both_bounds_on_the_same_crops(tmp_path):
    made = [
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, [0.6] * 6 + [None], asked=ASKED,
            drawn=1_000,
        ),
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, [0.6] * 5 + [0.4], check="fixed",
            bound="clopper_pearson", cap=3.2,
        ),
    ]  # fmt: skip
    cells = certified_cells.read(found(tmp_path, *made))
    ((title, table),) = vote_tables.bound_tables(cells, "fixed").items()
    assert title == "at the mfbe, σ = 0.5"
    early, fixed, differ = (dict(zip(table.header, r, strict=True)) for r in table.rows)
    assert (early["bound"], early["votes a crop"]) == ("sequential", "1,000")
    assert (fixed["bound"], fixed["votes a crop"]) == ("clopper_pearson", "10,000")
    assert early["r=0.5"].startswith("1.000") and fixed["r=0.5"].startswith("0.833")
    assert (differ["r=0.25"], differ["r=0.5"], differ["r=0.75"]) == ("0", "1", "0")
    # 0.05 was not asked for.
    assert "* [" in early["r=0.05"] and "*" not in fixed["r=0.05"]
    assert "6 crops in both, one network" in table.notes[0]
    assert vote_tables.bound_tables(cells, "many") == {}
    # Without the other cell there is nothing to compare.
    assert vote_tables.bound_tables(cells[1:], "fixed") == {}


def test_another_network_is_told(tmp_path):
    more = {"bound": "clopper_pearson", "cap": 3.81, "n": 100_000}
    made = [
        make_cell(tmp_path, "mfbe", "gaussian", 0.5, [0.6] * 6, asked=ASKED),
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, [1.7] * 3, check="many",
            classifier="other", **more,
        ),
    ]  # fmt: skip
    cells = certified_cells.read(found(tmp_path, *made))
    (table,) = vote_tables.bound_tables(cells, "many").values()
    assert "3 crops in both, TWO networks" in table.notes[0]
    assert [row[-1] for row in table.rows] == ["1.585", "1.905", ""]
    assert [row[1] for row in table.rows] == ["10,000", "100,000", ""]


def test_votes_and_hours_of_the_study(tmp_path):
    made = [
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, [0.6] * 4, asked=ASKED, drawn=500,
            steps={"certificates": step(3600.0), "accuracy": step(1800.0)},
        ),
        make_cell(
            tmp_path, "mfbe", "gaussian", 0.5, [0.6] * 2, check="fixed",
            bound="clopper_pearson", steps={"certificates": step(1800.0)},
        ),
    ]  # fmt: skip
    inputs = type(made[0])("inputs")
    (tmp_path / "inputs").mkdir()
    study = found(tmp_path, *made, inputs)
    cells = certified_cells.read(study)
    table = vote_tables.cost_table(study, cells)
    rows = {row[0]: row[1:] for row in table.rows}
    # 4 x (500 + 500) votes; 2 s a crop.
    assert rows["mfbe"] == ["1", "4", "4,000", "1,000", "0.00", "1.50", "10.5", "100.5"]
    fixed = rows["check with a fixed n"]
    assert fixed[:4] == ["1", "2", "21,000", "10,500"] and fixed[6] == "1.0"
    assert rows["without certificates"] == ["1", *[DASH] * 7]
    assert rows["all"][:4] == ["3", "6", "25,000", "4,167"]
    # The hours of a cell without a file are not known.
    assert rows["all"][5] == DASH
    assert any(
        "drew 4,000 votes" in note and "42,000 votes" in note and "402,000" in note
        for note in table.notes
    )
    whole = vote_tables.cost_table(found(tmp_path, *made), cells)
    assert whole.rows[-1][6] == "2.00"


def test_no_cells_no_costs(tmp_path):
    assert not vote_tables.cost_table(found(tmp_path), []).rows
