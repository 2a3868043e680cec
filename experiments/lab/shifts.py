"""A run that certifies clips against time shifts, and its report."""

import functools
import pathlib
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from advjax import evaluation
from advjax.evaluation import Point
from advjax.metrics import Share, share_of
from advjax.reports import figures, tables
from advjax.reports.files import write_report
from advjax.reports.page import Block, Heading, Settings
from advjax.representations import definition
from advjax.runs import descriptions
from advjax.runs import folder as runs
from advjax.runs.row_types import SHIFTS, Run, ShiftRow
from advjax.runtime.progress import Progress, duration
from advjax.smoothing import certify_shift, default_tile
from experiments.lab import (
    caveats,
    certify_settings,
    folder_names,
    origins,
    preflight,
)
from experiments.lab.console import say
from experiments.lab.task import Draft, System

RADII = (1, 5, 10, 20, 40, 80, 160, 320, 800, 1_600)
"""Shifts of the table, in samples, as far as they are voted on. 5 is O'Reilly's."""
SENTENCE = (
    "The smoothed classifier predicts the class of most votes among rotations of a "
    "clip, where samples that leave at one end enter at the other. No rotation within "
    "a clip's radius changes that prediction. The vote has no randomness, so the "
    "certificates have no failure probability."
)


class ShiftRequest(NamedTuple):
    """Settings of certificates against shifts.

    Attributes:
        max_shift: largest shift that is voted on, in samples; a multiple of the step.
        step: samples between the shifts.
    """

    max_shift: int
    step: int = 1

    @property
    def num_votes(self) -> int:
        """Copies of a clip that vote."""
        return 2 * (self.max_shift // self.step) + 1


def check(
    draft: Draft,
    request: ShiftRequest,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
) -> None:
    """Refuse a run that cannot be made; write nothing.

    Args:
        draft: the task at the waveform.
        request: the settings.
        num_points: test clips; None for the default.
        workdir: the folder of the run, if one is given.

    Raises:
        ValueError: impossible shifts, or see `preflight.check`.
        OSError: a folder that cannot be read or written.
    """
    if request.max_shift % request.step:
        raise ValueError(
            f"--max_shift={request.max_shift} is no multiple of "
            f"--shift_step={request.step}: give one"
        )
    num_samples = draft.stage.num_samples
    if 2 * request.max_shift >= num_samples:
        raise ValueError(
            f"--max_shift={request.max_shift}: clips have {num_samples} samples, and "
            "rotations by half of them or more meet each other; give fewer"
        )
    if workdir is not None:
        runs.check_run_folder(workdir, SHIFTS, argument="--workdir")
    preflight.check(draft, num_points=num_points)


def certify(
    system: System,
    request: ShiftRequest,
    *,
    num_points: int,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """Certify the clips of the run that have no row yet; return the run's folder.

    Args:
        system: of a task at the waveform.
        request: the settings.
        num_points: test clips, spread evenly over the split.
        workdir: the folder of the run; None for one in the home.
        environment: where results come from.
    """
    points, logits_fn = system.test_points(num_points), system.logits_fn()
    settings = {
        "corpus": system.data.info.name,
        "records": system.data.digest(),
        "classifier": system.classifier.digest(),
        "representation": definition(system.representation),
        "sample_rate_hz": system.representation.sample_rate_hz,
        "defence": system.defence,
        "max_shift": request.max_shift,
        "shift_step": request.step,
        "tile": default_tile(),
        "precision": system.task.precision,
        "num_points": len(points),
    }
    if workdir is None:
        title = f"{system.data.folder.name}-shift{request.max_shift}"
        workdir = folder_names.place(system.task.home / "shifts", title, settings)
    open_run = functools.partial(
        runs.open_run,
        workdir,
        settings=settings,
        environment={
            **environment,
            **certify_settings.origin(system),
            **caveats.environment(system.data.folder),
        },
        schema=SHIFTS,
        ids={point.id for point in points},
        argument="--workdir",
    )
    with open_run() as run:
        missing = [point for point in points if point.id not in run.done]
        say(f"run         {workdir}: {len(missing)} of {len(points)} clips to certify")
        done = len(points) - len(missing)
        with Progress("shifts", total=len(points), unit="clips", done=done) as line:
            for point in missing:
                run.append(_row(logits_fn, point, request))
                line.advance()
    if "base_accuracy" not in descriptions.description(workdir)["outcome"]:
        logits = evaluation.logits_of_batch(logits_fn, np.stack([p.x for p in points]))
        share = share_of(logits.argmax(axis=1) == [point.label for point in points])
        descriptions.add_outcome(workdir, base_accuracy=share._asdict())
    return workdir


def _row(logits_fn: Any, point: Point, request: ShiftRequest) -> ShiftRow:
    """The certificate of a clip."""
    begun = time.perf_counter()
    found = certify_shift(
        logits_fn, point.x, max_shift=request.max_shift, step=request.step
    )
    return ShiftRow(
        point.idx, point.label, found.prediction, found.radius,
        found.prediction == point.label, time.perf_counter() - begun, point.id,
        found.votes, found.num_votes,
    )  # fmt: skip


def read_run(folder: pathlib.Path, label: str | None = None) -> Run:
    """A finished or running run for tables and figures; radii are in samples."""
    settings = runs.description(folder)["settings"]
    label = label or f"{settings['corpus']}, {settings['defence']}"
    return Run(label, SHIFTS.read(folder), settings["max_shift"])


def table(folder: pathlib.Path) -> tables.Table:
    """Certified accuracy of a run by the shift, in samples and in milliseconds."""
    described = runs.description(folder)
    settings, rows = described["settings"], SHIFTS.read(folder)
    most, step = settings["max_shift"], settings["shift_step"]
    rate = settings["sample_rate_hz"]
    shown = sorted({0, *(r for r in RADII if r < most and r % step == 0), most})
    lines = [
        [
            f"{shift:,}",
            f"{1e3 * shift / rate:.3g}",
            tables.share_text(share_of(rows.correct & (rows.radius >= shift))),
        ]
        for shift in shown
    ]
    only = "" if step == 1 else f" by a multiple of {step} samples"
    base = Share(**described["outcome"]["base_accuracy"])
    return tables.Table(
        ["shift", "in ms", "certified accuracy"],
        lines,
        [
            f"{len(rows)} clips, {rows.n[0]} votes each: right, and certified against "
            f"all shifts{only} of up to so many samples; exact, of rotated clips",
            f"accuracy of the network without votes: {tables.share_text(base)}",
            f"median radius {np.median(rows.radius):g} samples; the largest possible "
            f"is {most:,}",
            tables.INTERVAL_NOTE,
        ],
    )


def plot(folder: pathlib.Path, path: pathlib.Path) -> pathlib.Path:
    """Draw the certified accuracy of a run over the shift; return the path."""
    run = read_run(folder)
    return figures.certified_accuracy_plot(
        [run],
        path,
        units="samples",
        x_label="time shift in samples",
        title=f"Certified against time shifts: {run.label}\n"
        f"{len(run.rows)} clips, {run.rows.n[0]} votes each, band: 95 % interval",
    )


def report(folder: pathlib.Path) -> str:
    """The text of a run's report; writes `report.md`, its table and `shifts.png`."""
    found = table(folder)
    parts: list[Block] = [
        Heading("Certificates against time shifts", 1),
        SENTENCE,
        Heading("Certified accuracy by the shift"),
        found,
    ]
    texts = [tables.as_text(found)]
    try:
        plot(folder, folder / "shifts.png")
        parts.append("![certified accuracy over the shift](shifts.png)")
    except ImportError:
        texts.append("(no figure: pip install matplotlib)")
    remarks = caveats.of_runs([folder])
    parts += [Heading("The run"), Settings(_summary(folder)), *remarks]
    write_report(folder / "report.md", parts, origin=origins.of_runs([folder]))
    return "\n\n".join([*texts, *remarks])


def _summary(folder: pathlib.Path) -> tables.Table:
    """The origin and settings of a run."""
    described = runs.description(folder)
    settings, origin = described["settings"], described["environment"]
    rows = SHIFTS.read(folder)
    took = duration(float(np.sum(rows.time)))
    facts = origins.facts(settings, origin, duration=took) | {
        "clips": f"{len(rows)} of the test split; they are {caveats.cut_from(rows.id)}",
        "largest shift, step": f"{settings['max_shift']}, {settings['shift_step']}",
        "precision": settings["precision"],
    }
    lines = [[name, str(value)] for name, value in facts.items() if value is not None]
    return tables.Table(["", "run"], lines)
