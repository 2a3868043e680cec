"""The tables and the figure of the study of defended speakers, from its cells."""

import dataclasses
import math
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.metrics.certified import average_certified_radius
from advjax.metrics.shares import Share, share_of
from advjax.reports import figures, tables
from advjax.runs import folder as runs
from advjax.runs.columns import Rows
from advjax.runs.row_types import ATTACK_ROWS, SMOOTHED_ATTACKS, Run
from experiments.lab import (
    audibility,
    caveats,
    cell_files,
    certify_report,
    smoothed_attack_report,
    steps,
)
from experiments.lab.cells import Cell
from experiments.lab.data import spread
from experiments.lab.grid import Found, Job, Step
from experiments.studies.speakers import heuristics

SIGMAS = {"mfbe": 0.5, "magnitude": 0.5, "waveform": 0.01}
"""Where the study of certified speakers has networks that know most clips in noise."""
CERTIFIED, ATTACKED = (1.0, 2.0, 2.4), (2.0, 4.0)
"""Norms of the tables in sigmas. 2.46 is the cap of 1,000 votes."""


class Curves(NamedTuple):
    """A finished cell: what is certified, if anything, and right under attack.

    Attributes:
        clean: accuracy without attack, of the smoothed classifier where there is one.
        certified: its certificates.
        left: the accuracy under PGD of the norms `ATTACKED`.
        attacked: what is left at any norm under all that was tried.
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
        """Find them, rising."""
        records = job.resolve().data
        source, rate = records.split("test"), records.info.representation.sample_rate_hz
        places = spread(len(source), min(self.num_points, len(source)))
        clips = (source[int(index)]["audio"] for index in places)
        found = [audibility.smallest_audible(c, sample_rate_hz=rate) for c in clips]
        return {"heard": sorted(found)}


def is_complete(folder: pathlib.Path) -> bool:
    """True if a folder of an earlier version has all rows of a cell."""
    if steps.is_certified(folder):
        return _smoothed_attacks(folder) is not None
    smallest = folder / "smallest"
    return (smallest / "run.json").exists() and not runs.num_missing(smallest)


def report(found: Found) -> Iterator[str]:
    """A table for each stage, the figure, and the table of the heuristics."""
    every = {c: f for c, f in found.cells.items() if c.path.count("heuristics") == 0}
    curves = {cell: read(folder) for cell, folder in every.items()}
    yield "# Defended speakers"
    for stage in SIGMAS:
        if any(cell["stage"] == stage for cell in curves):
            yield f"## Noise and perturbations at the {stage}"
            yield tables.as_markdown(stage_table(stage, curves))
    if draw_meaning(curves, every, found.out / "meaning.png"):
        yield "![certified, attacked, heard](meaning.png)"
    if table := heuristics.table(found.out / "heuristics"):
        yield "## Heuristics under the same attacks"
        yield tables.as_markdown(table)
    yield from caveats.of_runs(
        [file.parent for folder in every.values() for file in _runs(folder)]
    )


def read(folder: pathlib.Path) -> Curves:
    """The rows of a finished cell."""
    attacked = _smoothed_attacks(folder)
    return _read_plain(folder) if attacked is None else _read_smoothed(folder, attacked)


def _read_smoothed(folder: pathlib.Path, attacked: pathlib.Path) -> Curves:
    run = certify_report.read_run(folder)
    rows = list(SMOOTHED_ATTACKS.read(attacked))
    curve, _ = smoothed_attack_report.bound_curves(run, rows)
    left = []
    for multiple in ATTACKED:
        tried = [row for row in rows if row.budget == f"{multiple:g} sigma"]
        held = sum(row.predict == row.label for row in tried)
        left.append(Share(held, len(run.rows)))
    return Curves(share_of(run.rows.correct), run, left, curve)


def _read_plain(folder: pathlib.Path) -> Curves:
    left = []
    for multiple in ATTACKED:
        rows = ATTACK_ROWS.read(folder / f"{multiple:g}")
        left.append(share_of((rows.clean == rows.label) & ~rows.success))
    rows = ATTACK_ROWS.read(folder / "smallest")
    right = rows.clean == rows.label
    falls = np.sort(rows.l2[right & rows.success])
    accuracy = (right.sum() - np.arange(len(falls) + 1)) / len(right)
    curve = figures.AttackedCurve(
        "plain network, not smoothed, under DeepFool",
        np.append(0.0, falls),
        accuracy,
        stepped=True,
    )
    return Curves(share_of(right), None, left, curve)


def _smoothed_attacks(folder: pathlib.Path) -> pathlib.Path | None:
    """The attacks on a cell's certificates; those of its last start, if several."""
    if name := cell_files.results(folder).get("smoothed_attacks"):
        return folder / name
    return next(iter(sorted(folder.glob("smoothed_attacks-*"))), None)


def _runs(folder: pathlib.Path) -> list[pathlib.Path]:
    return [*folder.glob("run.json"), *folder.glob("smallest/run.json")]


def stage_table(stage: str, found: Mapping[Cell, Curves]) -> tables.Table:
    """A line for each training: certified, and what PGD leaves."""
    radii = [multiple * SIGMAS[stage] for multiple in CERTIFIED]
    plain_acr = math.nan
    here = {c["training"]: curves for c, curves in found.items() if c["stage"] == stage}
    if "gaussian" in here:
        plain_acr = _acr(here["gaussian"].certified)
    lines = []
    for training, curves in here.items():
        run = curves.certified
        certified, acr, gap = [tables.DASH] * len(radii), tables.DASH, tables.DASH
        if run is not None:
            rows = run.rows
            certified = [
                tables.share_text(share_of(rows.correct & (rows.radius >= radius)))
                for radius in radii
            ]
            acr = f"{_acr(run):.4f}"
            gap = f"{(_acr(run) - plain_acr) / (run.cap - plain_acr):+.2f}"
        lines.append(
            [
                training,
                tables.share_text(curves.clean),
                *certified,
                acr,
                gap,
                *map(tables.share_text, curves.left),
            ]
        )
    return tables.Table(
        ["training", "clean", *(f"r={r:g}" for r in radii), "ACR", "of the gap"]
        + [f"PGD {multiple * SIGMAS[stage]:g}" for multiple in ATTACKED],
        lines,
        [
            f"noise of sigma {SIGMAS[stage]:g} at {stage}; plain is not smoothed; r: "
            "certified accuracy; of the gap: of what lies between gaussian's average "
            "certified radius (ACR) and the cap; PGD: right under l2 PGD of that norm, "
            "on the mean over noise where smoothed",
            tables.INTERVAL_NOTE,
        ],
    )


def _acr(run: Run) -> float:
    return average_certified_radius(run.rows.correct, run.rows.radius)


def draw_meaning(
    found: Mapping[Cell, Curves],
    folders: Mapping[Cell, pathlib.Path],
    path: pathlib.Path,
) -> bool:
    """Draw radii at the waveform, attacks, and hearing, if there are any radii.

    Args:
        found: the finished cells.
        folders: theirs.
        path: of the PNG.
    """
    by_name = {cell.path: curves for cell, curves in found.items()}
    curves = []
    for stage in ("waveform", "magnitude"):
        cell = by_name.get(f"{stage}/gaussian")
        if cell and (at_waveform := _radius_at_waveform(cell.certified)) is not None:
            radius, accuracy = figures.curve(at_waveform)
            curves.append(
                figures.AttackedCurve(
                    f"certified, noise {SIGMAS[stage]:g} at the {stage}",
                    radius,
                    np.append(accuracy[1:], accuracy[-1]),
                    stepped=True,
                )
            )
    if smoothed := by_name.get("waveform/gaussian"):
        label = "the smoothed classifier at the waveform under PGD"
        curves.append(smoothed.attacked._replace(label=label))
    if plain := by_name.get("waveform/plain"):
        curves.append(plain.attacked)
    if not curves:
        return False
    for folder in folders.values():
        if heard := cell_files.results(folder).get("heard"):
            curves.append(
                figures.AttackedCurve(
                    "share of clips beside which nothing of this norm is heard",
                    np.append(0.0, heard),
                    np.append(1.0, 1 - np.arange(1, len(heard) + 1) / len(heard)),
                    stepped=True,
                )
            )
    figures.attacked_accuracy_plot(
        curves,
        path,
        x_label="l2 norm at the waveform (full scale 1)",
        y_label="share of clips",
        title="What is certified, attacked, and heard",
        logarithmic=True,
    )
    return True


def _radius_at_waveform(run: Run) -> Run | None:
    """A run with its radii carried back to the waveform; None where they cannot be."""
    positive = (run.rows.radius > 0) & (run.rows.radius_wave > 0)
    if not positive.any():
        return None
    bound = np.median(run.rows.radius[positive] / run.rows.radius_wave[positive])
    columns = {**run.rows.columns, "radius": run.rows.radius / bound}
    rows = Rows(run.rows.row_type, columns)
    return run._replace(rows=rows, cap=run.cap / bound)
