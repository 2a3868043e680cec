"""A run that certifies a task's test points, and resumes."""

import contextlib
import functools
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from advjax import evaluation, smoothing
from advjax.evaluation import Point
from advjax.metrics import Share, share_of
from advjax.runs import descriptions
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES, CertificateRow
from advjax.runtime import compilation, parallel
from advjax.runtime.progress import Progress
from advjax.types import LogitsFn
from experiments.lab import (
    caveats,
    certify_settings,
    folder_names,
    shared_runs,
    vote_checkpoints,
    vote_placement,
)
from experiments.lab.certify_settings import Certification
from experiments.lab.console import say
from experiments.lab.task import System


def certify(
    system: System,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """Certify the points of the run that have no row yet; return the run's folder.

    Several processes take a share of the points each. They are together until all have
    opened the run, and part before they certify: a second run in the same program then
    finds its classifier or fails. The run is finished when `runs.num_missing` is 0.

    Raises:
        ValueError: a request that can only abstain, or a folder with other settings.
    """
    logits_fn = system.logits_fn()
    shares = vote_placement.can_share(logits_fn, system.noise)
    # What this process counts before and after the others are votes of their programs.
    with compilation.as_on_one_core() if shares else contextlib.nullcontext():
        return _certify(
            system, logits_fn, request, num_points=num_points, workdir=workdir,
            environment=environment, shares=shares,
        )  # fmt: skip


def _certify(
    system: System,
    logits_fn: LogitsFn,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
    shares: bool,
) -> pathlib.Path:
    task, stage, noise = system.task, system.stage, system.noise
    points = system.test_points(num_points)
    mesh = None if shares else vote_placement.mesh_for(system.classifier, task.engine)
    placement = vote_placement.fit(mesh, logits_fn, points[0], noise, request)
    most_processes = vote_placement.num_processes() if shares else 1
    reach = smoothing.reach(noise, request.plan)
    settings = certify_settings.settings(system, request, placement, reach, len(points))
    if workdir is None:
        title = f"{system.data.folder.name}-{stage.name}-sigma{task.sigma:g}"
        workdir = folder_names.place(task.home / "certify", title, settings)
    ids, here = {point.id for point in points}, parallel.process()
    open_run = functools.partial(
        runs.open_run,
        workdir,
        settings=settings,
        environment={
            **environment,
            "most_vote_processes": most_processes,
            **certify_settings.origin(system),
            **caveats.environment(system.data.folder),
        },
        argument="--workdir",
        shard=here,
        ids=ids,
    )
    with shared_runs.open_together(workdir, open_run) as run:
        missing = [point for point in points if point.id not in run.done]
        mine, key = here.share(missing), jax.random.key(task.seed)
        parallel.detach()
        if not missing:
            say(f"run         {workdir}")
            say(f"            All {len(points)} clips were certified before.")
            vote_checkpoints.remove(workdir)
            return workdir
        say(f"run         {workdir}: {len(missing)} of {len(points)} clips to certify")
        for line in certify_settings.lines(request, reach, settings):
            say(f"            {line}")
        if here.index == 0:
            _settle_base_accuracy(workdir, logits_fn, points)
        # One process alone counts the points of earlier starts, too.
        before = len(points) - len(missing) if here.count == 1 else 0
        total = before + len(mine)
        with (
            vote_placement.placed(
                placement, most_processes, logits_fn, mine, key, noise, request
            ) as placement,
            Progress(
                here.name("certify"), total=total, unit="clips", done=before
            ) as line,
        ):
            certify_points = functools.partial(
                evaluation.certify_points,
                logits_fn,
                mine,
                key,
                noise=noise,
                plan=request.plan,
                placement=placement,
                waveform_bound=certify_settings.waveform_bound(stage, noise)[0],
            )
            limits = vote_checkpoints.Limits(
                ids,
                len(system.classifier.labels),
                request.num_selection,
                request.num_estimation,
            )
            _append_rows(run, certify_points, limits, line)
    if not runs.num_missing(workdir):
        vote_checkpoints.remove(workdir)
        spent_s = float(CERTIFICATES.read(workdir).time.sum())
        descriptions.add_outcome(workdir, duration_s=spent_s)
    return workdir


def _settle_base_accuracy(
    folder: pathlib.Path, logits_fn: LogitsFn, points: Sequence[Point]
) -> None:
    """Print the accuracy of the network without noise, and keep it in `run.json`."""
    known = descriptions.description(folder)["outcome"].get("base_accuracy")
    if known is None:
        logits = evaluation.logits_of_batch(logits_fn, np.stack([p.x for p in points]))
        share = share_of(logits.argmax(axis=1) == [point.label for point in points])
        descriptions.add_outcome(folder, base_accuracy=share._asdict())
    else:
        share = Share(**known)
    say(f"            Accuracy of the network without noise: {share.value:.3f}.")


def _append_rows(
    run: runs.RunFolder,
    certify_points: Callable[..., Iterator[CertificateRow]],
    limits: vote_checkpoints.Limits,
    line: Progress,
) -> None:
    """Append a row for each point, and keep the votes of points without one."""
    keep = vote_checkpoints.writer(run.folder, parallel.process())

    def on_tally(id: str, tally: smoothing.Tally) -> None:
        keep(id, tally)
        drawn, most = tally.num_estimation, limits.num_estimation
        line.advance(0, note=f"{drawn:,} of {most:,} votes")

    resume = evaluation.CertifyResume(
        tallies=vote_checkpoints.read(run.folder, limits, note=say), on_tally=on_tally
    )
    correct = 0
    for seen, row in enumerate(certify_points(resume=resume), 1):
        run.append(row)
        keep(row.id, None)
        correct += row.correct
        line.advance(note=f"smoothed accuracy {correct / seen:.2f}")
