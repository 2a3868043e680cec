"""What certificates of speakers mean under attack, and what better training buys.

  python -m experiments.studies.defended_speakers \\
      --corpus=librispeech --corpus_dir=LibriSpeech --out=results

A cell is a stage and a training: mfbe, magnitude and the waveform, each with networks
trained plainly, on Gaussian noise, and by what promises longer radii. A smoothed cell
is certified, then attacked: PGD on the mean over noise, judged by the smoothed
classifier's vote. The plain network is attacked as it is.

Then the heuristics that others put before a network, MP3, resampling, white noise,
reverberation (Subramanian et al. 2019) and noise in proportion to what is masked
(Mendes and Hogan 2020), face the same attacks at the waveform (`speaker_heuristics`).

Writes study.md, with a table for each stage and one of the heuristics, and meaning.png:
what is certified at the waveform, what attacks leave there, and where hearing begins.
Every cell is a run: after a kill the same command goes on where it was. At CPU size the
study takes about two hours on 2 cores; --cells="mfbe/*" runs a part of it, and
--preset=publication all of it at the publication's size.
"""

import dataclasses
import fnmatch
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.attacks import Attack
from advjax.metrics.certified import average_certified_radius
from advjax.metrics.shares import Share, share_of
from advjax.reports import figures, tables
from advjax.runs.row_types import ATTACK_ROWS, SMOOTHED_ATTACKS, Run
from experiments import app, flags, requests
from experiments.lab import (
    attack,
    audibility,
    caveats,
    certification,
    preflight,
    presets,
    smoothed_attack,
    smoothed_attack_report,
)
from experiments.lab.console import say
from experiments.lab.data import Data, spread
from experiments.lab.task import Task
from experiments.studies import speaker_heuristics
from experiments.studies.grid_flags import preset

SIGMAS = {"mfbe": 0.5, "magnitude": 0.5, "waveform": 0.01}
"""Where the study of certified speakers has networks that know most clips in noise."""
SMOOTH_ADV = "smooth_adv(eps=1.0, num_steps=2, num_noises=1)"
TRAININGS = {
    "mfbe": (
        "plain", "gaussian", "consistency(lbd=10.0)", "macer(num_noises=2, lbd=4.0)",
        SMOOTH_ADV,
    ),
    "magnitude": ("plain", "gaussian", "consistency(lbd=10.0)"),
    "waveform": ("plain", "gaussian"),
}  # fmt: skip
CERTIFIED, ATTACKED = (1.0, 2.0, 2.4), (2.0, 4.0)
"""Norms of the tables in sigmas. 2.46 is the cap of 1,000 votes."""
flags.declare(
    __name__,
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    flags.NUM_POINTS,
    flags.OUT,
    flags.CELLS,
    flags.PRESET,
    flags.VOTES,
    flags.CROPS,
    *flags.RUN_FLAGS,
)


class Cell(NamedTuple):
    """A stage at which noise and perturbations enter, and a training."""

    stage: str
    training: str

    @property
    def path(self) -> str:
        """Its name, which is also where its runs lie."""
        return f"{self.stage}/{self.training.partition('(')[0]}"


def cells(pattern: str) -> Iterator[Cell]:
    """The cells whose names match."""
    for stage, trainings in TRAININGS.items():
        for training in trainings:
            if fnmatch.fnmatch(Cell(stage, training).path, pattern):
                yield Cell(stage, training)


class Study(NamedTuple):
    """What all cells share."""

    base: Task
    request: certification.Certification
    num_points: int
    num_steps: int
    num_draws: int
    out: pathlib.Path

    def task(self, cell: Cell) -> Task:
        """The cell's."""
        return dataclasses.replace(
            self.base,
            at=cell.stage,
            sigma=SIGMAS[cell.stage],
            defence=cell.training,
        )

    def folder(self, cell: Cell) -> pathlib.Path:
        """Where its runs lie."""
        return self.out / "cells" / cell.path

    @property
    def pgd(self) -> str:
        """The attack, on plain networks and on means over noise."""
        return f"pgd(norm='l2', num_steps={self.num_steps}, stop='last')"


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


def run_smoothed(study: Study, cell: Cell) -> Curves:
    """Certifies the cell, attacks what is certified right, and reads both.

    Raises:
        ValueError: attacks contradict more certificates than chance allows.
    """
    draft = study.task(cell).draft()
    where = {"num_points": study.num_points, "workdir": study.folder(cell)}
    preflight.check_certification(draft, study.request, **where)
    system = draft.resolve()
    certified = certification.certify(
        system, study.request, environment=app.environment(), **where
    )
    request = smoothed_attack.SmoothedAttackRequest(
        attacks=[study.pgd], fractions=ATTACKED, num_draws=study.num_draws
    )
    attacked = smoothed_attack.run(
        system, certified, request, environment=app.environment()
    )
    print(smoothed_attack_report.report(attacked))
    run = certification.read_run(certified)
    rows = list(SMOOTHED_ATTACKS.read(attacked))
    curve, _ = smoothed_attack_report.bound_curves(run, rows)
    left = []
    for multiple in ATTACKED:
        tried = [row for row in rows if row.budget == f"{multiple:g} sigma"]
        held = sum(row.predict == row.label for row in tried)
        left.append(Share(held, len(run.rows)))
    return Curves(share_of(run.rows.correct), run, left, curve)


def run_plain(study: Study, cell: Cell) -> Curves:
    """The network by itself under PGD, and under DeepFool's smallest perturbation."""
    system = study.task(cell).resolve()
    points = system.test_points(study.num_points)
    pgd = attack.build(system, study.pgd)

    def attacked(name: str, request: attack.AttackRequest, built: Attack | None = None):
        prepared = attack.prepare(
            system,
            request,
            points,
            workdir=study.folder(cell) / name,
            environment=app.environment(),
            built=built,
        )
        attack.run(prepared, keep_examples=False)
        rows = ATTACK_ROWS.read(prepared.folder)
        return rows, rows.clean == rows.label

    left = []
    for multiple in ATTACKED:
        request = attack.AttackRequest(study.pgd, f"{multiple * system.task.sigma:.6g}")
        rows, right = attacked(f"{multiple:g}", request, pgd)
        left.append(share_of(right & ~rows.success))
    rows, right = attacked("smallest", attack.AttackRequest("deepfool"))
    falls = np.sort(rows.l2[right & rows.success])
    accuracy = (right.sum() - np.arange(len(falls) + 1)) / len(points)
    curve = figures.AttackedCurve(
        "plain network, not smoothed, under DeepFool",
        np.append(0.0, falls),
        accuracy,
        stepped=True,
    )
    return Curves(share_of(right), None, left, curve)


def stage_table(stage: str, found: dict[Cell, Curves]) -> tables.Table:
    """A line for each training: certified, and what PGD leaves."""
    radii = [multiple * SIGMAS[stage] for multiple in CERTIFIED]
    plain_acr = math.nan
    if gaussian := found.get(Cell(stage, "gaussian")):
        plain_acr = _acr(gaussian.certified)
    lines = []
    for cell, curves in found.items():
        run = curves.certified
        if cell.stage != stage:
            continue
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
                cell.training,
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


def thresholds(records: Data, num_points: int) -> Float[np.ndarray, "clips"]:
    """The smallest audible l2 norm of each test clip, rising."""
    source = records.split("test")
    rate = records.info.representation.sample_rate_hz
    places = spread(len(source), num_points)
    clips = (source[int(index)]["audio"] for index in places)
    return np.sort([audibility.smallest_audible(c, sample_rate_hz=rate) for c in clips])


def draw_meaning(study: Study, found: dict[Cell, Curves]) -> None:
    """Nothing; writes meaning.png: radii at the waveform, attacks, and hearing."""
    curves = []
    for stage in ("waveform", "magnitude"):
        cell = Cell(stage, "gaussian")
        if cell not in found:
            continue
        run = found[cell].certified
        draft = study.task(cell).draft()
        bound, _ = certification.waveform_bound(draft.stage, draft.noise)
        radius, accuracy = figures.curve(run)
        curves.append(
            figures.AttackedCurve(
                f"certified, noise {SIGMAS[stage]:g} at the {stage}",
                radius / bound,
                np.append(accuracy[1:], accuracy[-1]),
                stepped=True,
            )
        )
    if smoothed := found.get(Cell("waveform", "gaussian")):
        label = "the smoothed classifier at the waveform under PGD"
        curves.append(smoothed.attacked._replace(label=label))
    if plain := found.get(Cell("waveform", "plain")):
        curves.append(plain.attacked)
    if not curves:
        return
    heard = thresholds(study.base.draft().source.open(), study.num_points)
    share = 1 - np.arange(1, len(heard) + 1) / len(heard)
    curves.append(
        figures.AttackedCurve(
            "share of clips beside which nothing of this norm is heard",
            np.append(0.0, heard),
            np.append(1.0, share),
            stepped=True,
        )
    )
    figures.attacked_accuracy_plot(
        curves,
        study.out / "meaning.png",
        x_label="l2 norm at the waveform (full scale 1)",
        y_label="share of clips",
        title="What is certified, attacked, and heard",
        logarithmic=True,
    )


def write_report(study: Study, found: dict[Cell, Curves], heuristics: str = "") -> None:
    """Nothing; writes study.md and meaning.png from the cells that are finished."""
    parts = ["# Defended speakers"]
    for stage in SIGMAS:
        if any(cell.stage == stage for cell in found):
            table = tables.as_markdown(stage_table(stage, found))
            parts += [f"## Noise and perturbations at the {stage}", table]
    draw_meaning(study, found)
    if (study.out / "meaning.png").exists():
        parts.append("![certified, attacked, heard](meaning.png)")
    if heuristics:
        parts += ["## Heuristics under the same attacks", heuristics]
    if caveat := caveats.of_records(study.base.draft().source.open().folder):
        parts.append(f"caveat: {caveat}")
    (study.out / "study.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main() -> None:
    """Run the cells, then the heuristics, then report."""
    size = preset({"small": presets.SMALL, "publication": presets.PUBLICATION})
    base = requests.task(size=size)
    if flags.CROPS.value:
        base = dataclasses.replace(
            base, crops={**base.crops, "train": flags.CROPS.value}
        )
    study = Study(
        base,
        certification.Certification(
            num_selection=size.num_selection,
            num_estimation=flags.VOTES.value or size.num_estimation,
        ),
        num_points=flags.NUM_POINTS.value or max(size.num_points, 40),
        num_steps=10 if size is presets.SMALL else 100,
        num_draws=8 if size is presets.SMALL else 16,
        out=pathlib.Path(
            flags.OUT.value or base.home / "studies" / "defended_speakers"
        ),
    )
    pattern = flags.CELLS.value
    chosen = list(cells(pattern))
    if not chosen:
        raise ValueError(
            f"--cells={pattern!r} matches no cell; they are called like mfbe/gaussian"
        )
    found: dict[Cell, Curves] = {}
    for number, cell in enumerate(chosen, start=1):
        say(f"cell {number} of {len(chosen)}: {cell.path}")
        run = run_plain if cell.training == "plain" else run_smoothed
        found[cell] = run(study, cell)
        write_report(study, found)
    systems = [cell for cell in found if cell.stage == "waveform"]
    if systems:
        table = speaker_heuristics.table(
            {cell.training: study.task(cell).resolve() for cell in systems},
            num_points=study.num_points,
            num_steps=study.num_steps,
            num_draws=study.num_draws,
            out=study.out,
        )
        write_report(study, found, tables.as_markdown(table))
    print((study.out / "study.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    app.run(main, device_per_core=True)
