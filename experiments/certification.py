"""Certifying a task's test points in a run that resumes, and reporting on runs."""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from advjax import evaluation, parallel, records, smoothing
from advjax.atomic import new_file
from advjax.progress import Progress, duration
from advjax.reports import rows as row_files
from advjax.reports import runs, tables
from advjax.representations import definition
from experiments import pipeline


class Certification(NamedTuple):
    """How to certify."""

    num_selection: int
    num_estimation: int
    alpha: float = 1e-3
    radii: Sequence[float] = tables.PUBLICATION_RADII


def certify(
    task: pipeline.Task,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """The folder of the run; what an earlier start certified is kept.

    Several processes take a share of the points each. They are together until all have
    opened the run, and part before they certify: a second run in the same program then
    finds its classifier or fails. The run is finished when `num_missing` says 0.

    Raises:
        ValueError: a request that can only abstain, or a folder with other settings.
    """
    planned = smoothing.plan(
        task.noise,
        num_selection=request.num_selection,
        num_estimation=request.num_estimation,
        alpha=request.alpha,
        radii=request.radii,
    )
    task.stage  # noqa: B018  a wrong --rep fails before any work
    task.records  # noqa: B018  in the order of a newcomer's understanding
    classifier = task.classifier
    points = task.test_points(num_points)
    settings = {
        "corpus": records.info(task.records).name,
        "records": pipeline.records_digest(task.records),
        "classifier": classifier.digest(),
        "noise_enters_at": task.at,
        "representation": definition(task.representation),
        "noise": {"law": "gaussian", "sigma": task.sigma, "norm": task.noise.norm},
        "gain_policy": "none: the clip is stored, not scaled before or after noise",
        "clip_policy": "none: noisy inputs are not clipped to the range of the stage",
        "num_selection": request.num_selection,
        "num_estimation": request.num_estimation,
        "alpha": request.alpha,
        "bound": "clopper_pearson",
        "tile": smoothing.default_tile(),
        "num_points": len(points),
        "seed": task.seed,
        "defence": task.trained_as,
        "cap": planned.max_radius,
    }
    if workdir is None:
        title = f"{task.records.name}-{task.at}-sigma{task.sigma:g}"
        workdir = task.home / "certify" / pipeline.named(title, settings)
    logits_fn = classifier.logits_fn(task.at)
    key = jax.random.key(task.seed)
    here = parallel.process()
    opened = parallel.all_do(
        f"open {workdir}",
        lambda: runs.open_run(
            workdir, settings=settings, environment=environment, shard=here
        ),
    )
    if here.count > 1:
        check_shared(workdir, here.count)
    with opened as run:
        missing = [point for point in points if point.id not in run.done]
        mine = here.share(missing)
        parallel.part_ways()
        pipeline.say(
            f"run         {workdir}: {len(missing)} of {len(points)} points to certify"
        )
        for line in _plan_lines(planned, request, task):
            pipeline.say(f"            {line}")
        mesh = parallel.local_mesh()
        if mine:
            _say_time(logits_fn, mine[0], task, request, len(mine), mesh)
        correct, seen = 0, 0
        # One process alone counts the points of earlier starts, too.
        before = len(points) - len(missing) if here.count == 1 else 0
        with Progress(
            here.name("certify"),
            total=before + len(mine),
            unit="points",
            done=before,
        ) as line:
            for row in evaluation.certify_points(
                logits_fn,
                mine,
                key,
                noise=task.noise,
                num_selection=request.num_selection,
                num_estimation=request.num_estimation,
                alpha=request.alpha,
                mesh=mesh,
            ):
                run.append(row)
                correct, seen = correct + row.correct, seen + 1
                line.advance(note=f"right and certified {correct / seen:.2f}")
    return workdir


def check_shared(workdir: pathlib.Path, count: int) -> None:
    """Nothing; refuses a folder that the other processes have on disks of their own."""
    there = {path.name for path in row_files.shards(workdir)}
    absent = {row_files.shard_name(index, count) for index in range(count)} - there
    if absent:
        raise ValueError(
            f"{workdir} has no {', '.join(sorted(absent))}: the other processes write "
            "elsewhere. Give every process the same --home (or --workdir), on a disk "
            "that all of them see"
        )


def num_missing(folder: pathlib.Path) -> int:
    """How many points of a run have no row yet, from any process."""
    wanted = runs.description(folder)["settings"]["num_points"]
    return wanted - len(row_files.read(folder))


def _plan_lines(planned: smoothing.Plan, request: Certification, task: pipeline.Task):
    yield (
        f"noise {task.sigma:g} at {task.at}, n0={request.num_selection}, "
        f"n={request.num_estimation}, alpha={request.alpha:g}: radii up to "
        f"{planned.max_radius:.3f}; {planned.votes_needed} equal votes or it abstains"
    )
    beyond = [r for r in planned.radii if r.votes_needed is None]
    if beyond:
        needs = ", ".join(f"{r.radius:g} ({_least_n(r)})" for r in beyond)
        yield f"out of reach: radius {needs}"


def _least_n(planned: smoothing.PlannedRadius) -> str:
    most = planned.num_estimation
    return "no n would do" if most is None or most > 10**9 else f"n >= {most:,}"


def _say_time(
    logits_fn, point, task: pipeline.Task, request: Certification, left: int, mesh
) -> None:
    """Times a few tiles of the very program that will run; compiling it is no waste."""
    tile = smoothing.default_tile()
    votes = functools.partial(
        smoothing.count_votes, logits_fn, point.x, jax.random.key(0), noise=task.noise,
        tile=tile, mesh=mesh,
    )  # fmt: skip
    votes(num_samples=tile)
    copies = 5 * tile
    start = time.perf_counter()
    votes(num_samples=copies)
    rate = copies / (time.perf_counter() - start)
    total = left * (request.num_selection + request.num_estimation)
    pipeline.say(
        f"            {rate:,.0f} votes/s here: about {duration(total / rate)}"
    )


def label_of(folder: pathlib.Path) -> str:
    """A run's name in tables: corpus, stage, sigma and defence."""
    settings = runs.description(folder)["settings"]
    corpus = settings["corpus"]
    sigma = f"σ={settings['noise']['sigma']:g}"
    # A network trained on another noise than the certificate's says on which.
    defence = settings["defence"].replace(f"(sigma={settings['noise']['sigma']!r})", "")
    return f"{corpus} {settings['noise_enters_at']} {sigma} {defence}"


def read_run(folder: pathlib.Path, label: str | None = None) -> row_files.Run:
    """A finished or running run for tables and plots."""
    cap = runs.description(folder)["settings"]["cap"]
    return row_files.Run(label or label_of(folder), row_files.read(folder), cap)


def report(
    folders: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    radii: Sequence[float] = tables.PUBLICATION_RADII,
    alpha: float = 1e-3,
) -> str:
    """The text of a report; writes `report.md` and `curve.png` into `out`."""
    found = [read_run(folder) for folder in folders]
    table = tables.certified_accuracy_table(found, list(radii))
    caps = tables.maximum_radius_table(
        lambda sigma, n: smoothing.max_radius(sigma, n, alpha), alpha=alpha
    )
    out.mkdir(parents=True, exist_ok=True)
    stages = {runs.description(f)["settings"]["noise_enters_at"] for f in folders}
    lines = [
        "# Certified accuracy",
        tables.as_markdown(table),
        "![certified accuracy over the radius](curve.png)",
        f"# Largest certifiable radius, alpha = {alpha:g}",
        tables.as_markdown(caps),
    ]
    # Whole at any time: two processes that end together both write it.
    with new_file(out / "report.md") as aside:
        aside.write_text("\n\n".join(lines) + "\n")
    text = tables.as_text(table)
    try:
        from advjax.reports import plots

        with new_file(out / "curve.png") as aside:
            plots.certified_accuracy_plot(
                found, aside, units=" / ".join(sorted(stages))
            )
    except ImportError:
        return f"{text}\n\n(no plot: pip install 'advjax[plots]')"
    return text
