"""Certified cells of the study of certified speakers, as its tables read them."""

import math
import pathlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.metrics.clustered import ClusteredShare, clustered_share
from advjax.runs import descriptions
from advjax.runs.columns import Rows
from advjax.runs.row_types import Run
from advjax.smoothing import BOUNDS
from experiments.lab import caveats, certify_report
from experiments.lab.grid import Found

STAGES = ("mfbe", "magnitude", "waveform")


class Certified(NamedTuple):
    """A finished cell with certificates.

    Attributes:
        folder: of the cell.
        axes: its values; those of further cells are `seed`, `bound` and `split`.
        run: its rows.
        settings: those of the run.
    """

    folder: pathlib.Path
    axes: Mapping[str, Hashable]
    run: Run
    settings: Mapping[str, Any]

    @property
    def sigma(self) -> float:
        """The standard deviation of the noise."""
        return self.axes["sigma"]

    @property
    def rows(self) -> Rows:
        """The certificates."""
        return self.run.rows

    @property
    def stops_early(self) -> bool:
        """True if votes stop once all asked radii are decided."""
        bound = BOUNDS.get(self.settings["bound"])
        return bound is not None and bound.stops_early

    def tests(self, radius: float) -> bool:
        """True unless the votes stop early and may have stopped before this radius."""
        asked = (0.0, *self.settings.get("radii", ()))
        known = any(math.isclose(radius, each, rel_tol=1e-9) for each in asked)
        return known or not self.stops_early

    @property
    def largest_tested(self) -> float:
        """The largest radius that was tested: the cap unless the votes stop early."""
        if not self.stops_early:
            return self.run.cap
        return max((r for r in self.settings["radii"] if r <= self.run.cap), default=0)

    @property
    def tested(self) -> Run:
        """The run with radii up to the largest tested one.

        Votes that stop early leave some radii a little above it, by chance.
        """
        most = self.largest_tested
        columns = {**self.rows.columns, "radius": np.minimum(self.rows.radius, most)}
        rows = Rows(self.rows.row_type, columns)
        return self.run._replace(rows=rows, cap=min(self.run.cap, most))

    @property
    def num_votes(self) -> int:
        """Votes drawn for all points, those that select the class included."""
        selection = self.settings["num_selection"] * len(self.rows)
        return selection + int(np.sum(self.rows.n))


def read(found: Found) -> list[Certified]:
    """The finished cells with certificates, in the order of the grid."""
    cells = []
    for cell, folder in found.cells.items():
        axes = dict(cell.values)
        if not (folder / "run.json").exists() or not {"stage", "sigma"} <= axes.keys():
            continue
        described = descriptions.description(folder)
        if descriptions.kind_of(described) != "certify":
            continue
        run = certify_report.read_run(folder, f"σ = {axes['sigma']:g}")
        cells.append(Certified(folder, axes, run, described["settings"]))
    return cells


def networks(
    cells: Iterable[Certified], **axes: Hashable
) -> dict[tuple[float, str, bool], list[Certified]]:
    """Cells of the grid and of further seeds by sigma, training and split.

    Keys are (sigma, training, split by chapter), sigma rising; the cells of a key
    differ in the seed alone, which rises. Checks of a bound are left out.

    Args:
        cells: of the study.
        **axes: values that the cells have.
    """
    groups: dict[tuple[float, str, bool], list[Certified]] = {}
    for cell in cells:
        if "bound" not in cell.axes and axes.items() <= cell.axes.items():
            key = cell.sigma, cell.axes["training"], "split" in cell.axes
            groups.setdefault(key, []).append(cell)
    order = sorted(groups, key=lambda key: (key[0], key[2], key[1] != "plain"))
    return {
        key: sorted(groups[key], key=lambda cell: cell.axes.get("seed", 0))
        for key in order
    }


def on_same_points(cells: Sequence[Certified]) -> list[Rows]:
    """The rows of each cell on the points that all have, in one order."""
    shared = set.intersection(*(set(cell.rows.id) for cell in cells))
    wanted = [id for id in cells[0].rows.id if id in shared]
    found = []
    for cell in cells:
        place = {id: index for index, id in enumerate(cell.rows.id)}
        found.append(cell.rows.take([place[id] for id in wanted]))
    return found


def certified_share(rows: Sequence[Rows], radius: float) -> ClusteredShare:
    """The certified accuracy of runs on the same points, clustered by utterance."""
    utterances = [caveats.recording_of(id) for id in rows[0].id]
    hits = [each.correct & (each.radius >= radius) for each in rows]
    return clustered_share(hits, utterances)


def num_utterances(rows: Rows) -> int:
    """The number of utterances that the points are cut from."""
    return len(set(map(caveats.recording_of, rows.id)))
