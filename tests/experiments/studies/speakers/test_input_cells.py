"""Cells of inputs in the study: their names, their settings, and their report."""

from experiments.lab import cell_files
from experiments.lab.cells import Cell
from experiments.lab.grid import Job
from experiments.studies import certified_speakers
from experiments.studies.speakers import input_cells


def job(cell, out, task=None, system=None):
    folder = out / "cells" / cell.path
    return Job(cell, task, folder, out, {}, system)


def test_every_cell_has_one_step_and_one_network():
    cells = input_cells.cells()
    assert len({cell.path for cell in cells}) == len(cells) == len(input_cells.STEPS)
    # Cells of equal values would all go to one start of --share.
    assert len({cell.values for cell in cells}) == len(cells)
    assert {cell.values[:3] for cell in cells} == {cells[0].values}
    for cell in cells:
        (step,) = certified_speakers.work(cell, None).values()
        settings = cell_files.plain(step)
        assert isinstance(settings, dict), "settings are compared when a cell resumes"


def test_radii_need_no_network_and_are_read_back(tmp_path):
    cell = next(c for c in input_cells.cells() if c.path == "inputs/radii")
    step, mine = input_cells.STEPS[cell.path], job(cell, tmp_path)
    entry = {
        "settings": step, "given": None, "result": step.run(mine), "seconds": 0.1,
        "environment": {},
    }  # fmt: skip
    cell_files.add(mine.folder, None, "inputs", cell_files.plain(entry))
    other = Cell("mfbe/gaussian/0.5")
    found = {other: tmp_path / "missing", cell: mine.folder}
    ((heading, table),) = input_cells.sections(found)
    assert heading.startswith("## Radii by f-divergences")
    assert (tmp_path / "radii_by_probability.png").exists()
    # PhiInv(0.99), in units of sigma.
    assert next(row for row in table.rows if row[0] == "0.99")[1] == "2.326"
