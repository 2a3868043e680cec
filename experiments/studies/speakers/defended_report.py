"""Tables and figure of the study of defended speakers."""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.metrics.certified import average_certified_radius
from advjax.metrics.shares import Share, share_of
from advjax.records import spread
from advjax.reports import figures, tables
from advjax.reports.page import Block, Heading
from advjax.runs.columns import Rows
from advjax.runs.row_types import ATTACK_ROWS, SMOOTHED_ATTACKS, Run
from experiments.lab import audibility, caveats, cell_files, certify_report
from experiments.lab.cells import Cell
from experiments.lab.grid import Found, Job, Step
from experiments.lab.smoothed_attack_report import bound_curves
from experiments.lab.steps import is_whole
from experiments.lab.study_tables import sections
from experiments.studies.speakers import heuristics

SIGMAS = {"mfbe": 0.5, "magnitude": 0.5, "waveform": 0.01}
"""Noise in which the networks of the study of certified speakers know most clips."""
CERTIFIED, ATTACKED = (1.0, 2.0, 2.4), (2.0, 4.0)
"""Norms of the tables in sigmas. 2.46 is the cap of 1,000 votes."""


class Curves(NamedTuple):
    """The certificates of a finished cell, if any, and its accuracy under attack.

    Attributes:
        clean: accuracy without attack, of the smoothed classifier where there is one.
        certified: its certificates.
        left: the accuracy under PGD of the norms `ATTACKED`.
        attacked: accuracy over the norm under all attacks of the cell.
    """

    clean: Share
    certified: Run | None
    left: Sequence[Share]
    attacked: figures.AttackedCurve


@dataclasses.dataclass(frozen=True)
class Thresholds(Step):
    """The smallest audible l2 norm beside each of so many test clips."""

    num_points: int

    def run(self, job: Job) -> dict[str, Any]:
        """Return the norms, rising."""
        records = job.resolve().data
        source, rate = records.split("test"), records.info.representation.sample_rate_hz
        places = spread(len(source), min(self.num_points, len(source)))
        clips = (source[int(index)]["audio"] for index in places)
        found = [audibility.smallest_audible(c, sample_rate_hz=rate) for c in clips]
        return {"heard": sorted(found)}


def is_complete(folder: pathlib.Path) -> bool:
    """True if a folder of an earlier version has all rows of a cell."""
    if is_whole(folder):
        return _smoothed_attacks(folder) is not None
    return is_whole(folder / "smallest")


def report(found: Found) -> Iterator[Block]:
    """A table for each stage, the figure, and the table of the heuristics."""
    every = {c: f for c, f in found.cells.items() if "heuristics" not in c.path}
    curves = {cell: read(folder) for cell, folder in every.items()}
    yield Heading("Defended speakers", 1)
    titles = {stage: f"Noise and perturbations at the {stage}" for stage in SIGMAS}
    yield from sections({titles[at]: stage_table(at, curves) for at in SIGMAS})
    heard = [cell_files.results(folder).get("heard") for folder in every.values()]
    if lines := meaning_curves(
        {cell.path: each for cell, each in curves.items()}, heard
    ):
        figures.attacked_accuracy_plot(
            lines,
            found.out / "meaning.png",
            x_label="l2 norm at the waveform (full scale 1)",
            y_label="share of clips",
            title="What is certified, attacked, and heard",
            logarithmic=True,
        )
        yield "![certified, attacked, heard](meaning.png)"
    table = heuristics.table(found.out / "heuristics")
    yield from sections({"Heuristics under the same attacks": table})
    folders = [f for each in every.values() for f in (each, each / "smallest")]
    yield from caveats.of_runs([f for f in folders if (f / "run.json").exists()])


def read(folder: pathlib.Path) -> Curves:
    """The rows of a finished cell."""
    left = []
    if attacks := _smoothed_attacks(folder):
        run = certify_report.read_run(folder)
        rows = list(SMOOTHED_ATTACKS.read(attacks))
        for multiple in ATTACKED:
            tried = [row for row in rows if row.budget == f"{multiple:g} sigma"]
            held = sum(row.predict == row.label for row in tried)
            left.append(Share(held, len(run.rows)))
        attacked, _ = bound_curves(run, rows)
        return Curves(share_of(run.rows.correct), run, left, attacked)
    for multiple in ATTACKED:
        rows = ATTACK_ROWS.read(folder / f"{multiple:g}")
        left.append(share_of((rows.clean == rows.label) & ~rows.success))
    rows = ATTACK_ROWS.read(folder / "smallest")
    clean = share_of(rows.clean == rows.label)
    falls = np.sort(rows.l2[(rows.clean == rows.label) & rows.success])
    title = "plain network, not smoothed, under DeepFool"
    return Curves(clean, None, left, _falling(title, falls, clean))


def _smoothed_attacks(folder: pathlib.Path) -> pathlib.Path | None:
    """The attacks on a cell's certificates; those of its last start, if several."""
    if name := cell_files.results(folder).get("smoothed_attacks"):
        return folder / name
    return next(iter(sorted(folder.glob("smoothed_attacks-*"))), None)


def _falling(title: str, falls: Sequence[float], start: Share) -> figures.AttackedCurve:
    """A share that begins at `start` and loses a clip at each of these norms."""
    accuracy = (start.count - np.arange(len(falls) + 1)) / start.total
    return figures.AttackedCurve(title, np.append(0.0, falls), accuracy, stepped=True)


def stage_table(stage: str, found: Mapping[Cell, Curves]) -> tables.Table:
    """A line for each training: certified accuracies, and accuracy under PGD."""
    sigma = SIGMAS[stage]
    here = {c["training"]: curves for c, curves in found.items() if c["stage"] == stage}
    base = _acr(here["gaussian"].certified) if "gaussian" in here else math.nan
    lines = []
    for training, curves in here.items():
        certified = [tables.DASH] * (len(CERTIFIED) + 2)
        if run := curves.certified:
            reached = [run.rows.radius >= multiple * sigma for multiple in CERTIFIED]
            shares = [share_of(run.rows.correct & each) for each in reached]
            gap = (_acr(run) - base) / (run.cap - base)
            certified = [*map(tables.share_text, shares), f"{_acr(run):.4f}"]
            certified.append(f"{gap:+.2f}")
        clean, *left = map(tables.share_text, (curves.clean, *curves.left))
        lines.append([training, clean, *certified, *left])
    radii = [f"r={multiple * sigma:g}" for multiple in CERTIFIED]
    return tables.Table(
        ["training", "clean", *radii, "ACR", "of the gap"]
        + [f"PGD {multiple * sigma:g}" for multiple in ATTACKED],
        lines,
        [
            f"noise of sigma {sigma:g} at {stage}; plain is not smoothed; r: "
            "certified accuracy; of the gap: of what lies between gaussian's average "
            "certified radius (ACR) and the cap; PGD: right under l2 PGD of that norm, "
            "on the mean over noise where smoothed",
            tables.INTERVAL_NOTE,
        ],
    )


def _acr(run: Run) -> float:
    return average_certified_radius(run.rows.correct, run.rows.radius)


def meaning_curves(
    found: Mapping[str, Curves], heard: Sequence[Sequence[float] | None]
) -> list[figures.AttackedCurve]:
    """Curves of certified radii, of attacks and of hearing at the waveform, if any.

    Args:
        found: the finished cells by name.
        heard: of each cell, the smallest audible norms, if it has them.
    """
    curves = []
    for stage in ("waveform", "magnitude"):
        cell = found.get(f"{stage}/gaussian")
        if cell and (at_waveform := _radius_at_waveform(cell.certified)) is not None:
            _, certified = bound_curves(at_waveform, [])
            label = f"certified, noise {SIGMAS[stage]:g} at the {stage}"
            curves.append(certified._replace(label=label))
    if smoothed := found.get("waveform/gaussian"):
        label = "the smoothed classifier at the waveform under PGD"
        curves.append(smoothed.attacked._replace(label=label))
    if plain := found.get("waveform/plain"):
        curves.append(plain.attacked)
    if curves:
        title = "share of clips beside which nothing of this norm is heard"
        for norms in filter(None, heard):
            start = Share(len(norms), len(norms))
            curves.append(_falling(title, norms, start))
    return curves


def _radius_at_waveform(run: Run) -> Run | None:
    """A run with its radii carried back to the waveform; None where they cannot be."""
    positive = (run.rows.radius > 0) & (run.rows.radius_wave > 0)
    if not positive.any():
        return None
    bound = np.median(run.rows.radius[positive] / run.rows.radius_wave[positive])
    columns = {**run.rows.columns, "radius": run.rows.radius / bound}
    return run._replace(rows=Rows(run.rows.row_type, columns), cap=run.cap / bound)
