"""Certifying a task's test points in a run that resumes, and reporting on runs."""

import functools
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax

from advjax import evaluation, records, smoothing
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
    """The folder of a finished run; what an earlier start certified is kept.

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
    with runs.open_run(workdir, settings=settings, environment=environment) as run:
        left = sum(point.id not in run.done for point in points)
        pipeline.say(
            f"run         {workdir}: {left} of {len(points)} points to certify"
        )
        for line in _plan_lines(planned, request, task):
            pipeline.say(f"            {line}")
        if left:
            _say_time(logits_fn, points[0], task, request, left)
        correct, seen = 0, 0
        with Progress(
            "certify", total=len(points), unit="points", done=len(points) - left
        ) as line:
            for row in evaluation.certify_points(
                logits_fn,
                points,
                key,
                noise=task.noise,
                num_selection=request.num_selection,
                num_estimation=request.num_estimation,
                alpha=request.alpha,
                done=run.done,
            ):
                run.append(row)
                correct, seen = correct + row.correct, seen + 1
                line.advance(note=f"right and certified {correct / seen:.2f}")
    return workdir


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
    logits_fn, point, task: pipeline.Task, request: Certification, left: int
) -> None:
    """Times a few tiles of the very program that will run; compiling it is no waste."""
    tile = smoothing.default_tile()
    votes = functools.partial(
        smoothing.count_votes, logits_fn, point.x, jax.random.key(0), noise=task.noise,
        tile=tile,
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
    (out / "report.md").write_text("\n\n".join(lines) + "\n")
    text = tables.as_text(table)
    try:
        from advjax.reports import plots

        plots.certified_accuracy_plot(
            found, out / "curve.png", units=" / ".join(sorted(stages))
        )
    except ImportError:
        return f"{text}\n\n(no plot: pip install 'advjax[plots]')"
    return text
