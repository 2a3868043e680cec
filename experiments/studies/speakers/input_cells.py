"""Cells of the study that have tables of inputs and of radii, not certificates.

All of them look at one network, trained without noise as the publication's was. Each
has one step, whose result is a list of headings and tables.
"""

import pathlib
from collections.abc import Iterator, Mapping

from advjax.reports.tables import Table
from experiments.lab.cells import Cell
from experiments.lab.grid import Step
from experiments.studies.speakers.audible_changes import (
    AudibleRadii,
    Imperceptible,
)
from experiments.studies.speakers.inputs import Inputs, read_sections
from experiments.studies.speakers.maximum_radii import RadiiByProbability
from experiments.studies.speakers.staggered import Staggered

STEPS: Mapping[str, Step] = {
    "inputs": Inputs(),
    "inputs/staggered": Staggered(),
    "inputs/imperceptible": Imperceptible(),
    "inputs/audible": AudibleRadii(),
    "inputs/radii": RadiiByProbability(),
}
"""The step of each cell, by the cell's name."""
_NETWORK = (("stage", "mfbe"), ("training", "plain"), ("sigma", 0.25))


def cells() -> list[Cell]:
    """The cells, in the order of the report."""
    return [
        Cell(name, (*_NETWORK, *((("inputs", name),) if "/" in name else ())))
        for name in STEPS
    ]


def sections(found: Mapping[Cell, pathlib.Path]) -> Iterator[tuple[str, Table]]:
    """Headings and tables of those that are finished.

    Args:
        found: the folder of each finished cell of the study.
    """
    for cell, folder in found.items():
        if cell.path in STEPS:
            yield from read_sections(folder)
