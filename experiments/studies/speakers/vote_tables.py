"""Checks of the sequential bound, and the cost of the study in votes and hours."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from advjax.reports.tables import CLUSTERS_NOTE, DASH, Table
from experiments.lab import cell_files
from experiments.lab.grid import Found
from experiments.studies.speakers.certified_cells import (
    STAGES,
    Certified,
    networks,
    on_same_points,
)
from experiments.studies.speakers.published_tables import columns, entry

FIXED = (10_000, 100_000)
"""Fixed numbers of votes that the cost is compared to."""


def bound_tables(cells: Sequence[Certified], bound: str) -> dict[str, Table]:
    """Certificates of one network on the same crops by two vote plans, by title.

    Args:
        cells: of the study.
        bound: the axis of the checks: "fixed" or "many".
    """
    found = {}
    for check in cells:
        if check.axes.get("bound") != bound:
            continue
        stage, key = check.axes["stage"], (check.sigma, check.axes["training"], False)
        base = next(iter(networks(cells, stage=stage).get(key, [])), None)
        if base is not None and set(base.rows.id) & set(check.rows.id):
            title = f"at the {stage}, σ = {check.sigma:g}"
            found[title] = _bound_table(base, check)
    return found


def _bound_table(base: Certified, check: Certified) -> Table:
    """Both runs, and the number of crops at which they differ."""
    pair = base, check
    points = on_same_points(pair)
    radii = columns(base.axes["stage"], pair)
    rows = []
    for cell, each in zip(pair, points, strict=True):
        texts = [entry([cell], [each], c.radius(cell.sigma)) for c in radii]
        most = f"{cell.settings['num_estimation']:,}"
        first = [f"{cell.settings['bound']}", most, f"{np.mean(each.n):,.0f}"]
        rows.append([*first, *texts, f"{cell.run.cap:.3f}"])
    differ = []
    for column in radii:
        radius = column.radius(base.sigma)
        one, other = (each.correct & (each.radius >= radius) for each in points)
        reached = radius <= min(cell.run.cap for cell in pair)
        differ.append(f"{int(np.sum(one != other))}" if reached else DASH)
    rows.append(["crops that differ", "", "", *differ, ""])
    same = base.settings["classifier"] == check.settings["classifier"]
    return Table(
        ["bound", "n", "votes a crop", *(c.header for c in radii), "largest radius"],
        rows,
        [
            f"{len(points[0])} crops in both, "
            + ("one network" if same else "TWO networks")
            + "; votes a crop: mean, without the "
            f"{base.settings['num_selection']:,} that choose the class",
            f"{DASH}: beyond the largest radius of a run",
            CLUSTERS_NOTE,
        ],
    )


def cost_table(found: Found, cells: Sequence[Certified]) -> Table:
    """Votes and hours of all cells, and the votes of fixed numbers beside them."""
    parts = dict(_parts(cells))
    certified = {cell.folder for cell in cells}
    others = [each for each in found.cells.values() if each not in certified]
    rows = [_cost_row(title, part) for title, part in parts.items()]
    if others:
        seconds = _seconds(others)
        blank = [f"{len(others)}", DASH, DASH, DASH, DASH, _hours(seconds)]
        rows.append(["without certificates", *blank, *[DASH] * len(FIXED)])
    if cells:
        whole = _cost_row("all", cells)
        hours = _hours(_seconds([*found.cells.values()]))
        rows.append(["all", f"{len(found.cells)}", *whole[2:6], hours, *whole[7:]])
    return Table(
        [
            *("cells", "number", "crops", "votes", "votes a crop", "hours of votes"),
            *("hours in all", *(f"of n={count:,}" for count in FIXED)),
        ],
        rows,
        [
            "votes: network evaluations of certificates, those that choose the class "
            "included; hours of votes: those of the certificates alone; in all: with "
            "training, accuracies and tables; hours of all starts added",
            "of n: votes that as many crops take with a fixed n, in multiples of those "
            "drawn",
            *_saved(cells),
        ],
    )


def _parts(cells: Sequence[Certified]) -> Iterable[tuple[str, list[Certified]]]:
    """Titles of the parts of the study, and their cells."""
    grid = [c for c in cells if not {"bound", "split"} & c.axes.keys()]
    for stage in STAGES:
        if mine := [cell for cell in grid if cell.axes["stage"] == stage]:
            yield stage, mine
    titles = {
        "split by chapter": [cell for cell in cells if "split" in cell.axes],
        "check with a fixed n": _of_bound(cells, "fixed"),
        "check with many votes": _of_bound(cells, "many"),
    }
    yield from ((title, mine) for title, mine in titles.items() if mine)


def _of_bound(cells: Sequence[Certified], bound: str) -> list[Certified]:
    return [cell for cell in cells if cell.axes.get("bound") == bound]


def _cost_row(title: str, cells: Sequence[Certified]) -> list[str]:
    votes, crops = sum(c.num_votes for c in cells), sum(len(c.rows) for c in cells)
    return [
        title,
        f"{len(cells)}",
        f"{crops:,}",
        f"{votes:,}",
        f"{votes / crops:,.0f}",
        _hours(_vote_seconds(cells)),
        _hours(_seconds([cell.folder for cell in cells])),
        *(f"{_of_fixed(cells, count) / votes:.1f}" for count in FIXED),
    ]


def _of_fixed(cells: Sequence[Certified], count: int) -> int:
    """Votes of the cells' crops with a fixed number for each."""
    return sum(len(c.rows) * (c.settings["num_selection"] + count) for c in cells)


def _saved(cells: Sequence[Certified]) -> list[str]:
    """A sentence on the votes that stopping early saved, and their hours."""
    early = [cell for cell in cells if cell.stops_early]
    if not early:
        return []
    votes, hours = sum(c.num_votes for c in early), _vote_seconds(early) / 3600
    fixed = {count: _of_fixed(early, count) for count in FIXED}
    each = [
        f"{total:,} votes and about {hours * total / votes:,.1f} hours at n = {count:,}"
        for count, total in fixed.items()
    ]
    return [
        f"the sequential bound drew {votes:,} votes in {hours:,.1f} hours; a fixed n "
        f"takes {' or '.join(each)}, at the same pace"
    ]


def _vote_seconds(cells: Sequence[Certified]) -> float:
    return sum(float(np.nansum(cell.rows.time)) for cell in cells)


def _seconds(folders: Sequence) -> float | None:
    """Seconds of all finished steps; None if a cell's file does not say."""
    steps = [cell_files.read(folder)["steps"] for folder in folders]
    if not all(steps):
        return None
    return sum(step["seconds"] for each in steps for step in _values(each))


def _values(steps: Mapping) -> Iterable[Mapping]:
    return steps.values()


def _hours(seconds: float | None) -> str:
    return DASH if seconds is None else f"{seconds / 3600:.2f}"
