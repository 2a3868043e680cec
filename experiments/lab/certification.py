"""Certifying a task's test points in a run that resumes, and reporting on runs."""

import functools
import math
import pathlib
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from advjax import evaluation, smoothing
from advjax.classifier import Classifier
from advjax.reports import tables
from advjax.representations import Representation, definition
from advjax.representations.lipschitz import lipschitz_bound
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES, Run
from advjax.runs.rows import shard_name, shards
from advjax.runtime import parallel
from advjax.runtime.atomic import new_file
from advjax.runtime.progress import Progress, duration
from experiments.lab import (
    caveats,
    folder_names,
    noise_laws,
    saved_votes,
    vote_checkpoints,
)
from experiments.lab.console import say
from experiments.lab.run_labels import label_of
from experiments.lab.task import System


class Certification(NamedTuple):
    """How to certify."""

    num_selection: int
    num_estimation: int
    alpha: float = 1e-3
    radii: Sequence[float] = tables.PUBLICATION_RADII
    precision: str = "float32"
    tile: int | None = None
    """Noisy copies of a point evaluated at once; None for what fits the bound, the
    backend and the memory."""
    bound: str = "clopper_pearson"
    """A name in `smoothing.BOUNDS`; with "sequential", num_estimation is the most."""
    profile: pathlib.Path | None = None
    """A folder for a trace of some dispatches in the steady state."""


def certify(
    system: System,
    request: Certification,
    *,
    num_points: int | None,
    workdir: pathlib.Path | None,
    environment: Mapping[str, Any],
) -> pathlib.Path:
    """The folder of the run; what an earlier start certified is kept.

    Several processes take a share of the points each. They are together until all have
    opened the run, and part before they certify: a second run in the same program then
    finds its classifier or fails. The run is finished when `runs.num_missing` says 0.

    Raises:
        ValueError: a request that can only abstain, or a folder with other settings.
    """
    asked = {
        "num_selection": request.num_selection,
        "num_estimation": request.num_estimation,
        "alpha": request.alpha,
        "radii": request.radii,
    }
    planned = smoothing.plan(system.noise, **asked, bound=request.bound)
    classifier = system.classifier
    points = system.test_points(num_points)
    logits_fn = system.logits_fn(request.precision)
    bound, at_waveform = waveform_bound(system.stage, system.noise)
    mesh = _mesh(classifier)
    tile, tiles_at_once = _tile(logits_fn, points[0], system, request, mesh)
    settings = {
        "corpus": system.data.info.name,
        "records": system.data.digest(),
        "classifier": classifier.digest(),
        "noise_enters_at": system.stage.name,
        "representation": definition(system.representation),
        "noise": {
            "law": system.task.noise,
            "sigma": system.task.sigma,
            "norm": system.noise.norm,
            **_tone_db(system),
        },
        "gain_policy": "none: the clip is stored, not scaled before or after noise",
        "clip_policy": "none: noisy inputs are not clipped to the range of the stage",
        "num_selection": request.num_selection,
        "num_estimation": request.num_estimation,
        "alpha": request.alpha,
        "bound": request.bound,
        "tile": tile,
        "precision": request.precision,
        "num_points": len(points),
        "seed": system.task.seed,
        "defence": system.defence,
        "cap": planned.max_radius,
        **noise_laws.beyond_full_scale(
            system.task.noise,
            system.data,
            sigma=system.task.sigma,
            num_points=len(points),
        ),
        "radius_wave": at_waveform,
    }
    if request.bound == "sequential":
        settings |= {
            "radii": list(request.radii),
            "needs": saved_votes.needs(system.noise, **asked),
            "futility_alpha": smoothing.FUTILITY_ALPHA,
            "tiles_at_once": tiles_at_once,
        }
    if workdir is None:
        title = (
            f"{system.data.folder.name}-{system.stage.name}-sigma{system.task.sigma:g}"
        )
        workdir = folder_names.place(system.task.home / "certify", title, settings)
    environment = {**environment, **caveats.environment(system.data.folder)}
    key = jax.random.key(system.task.seed)
    here = parallel.process()
    opened = parallel.all_do(
        f"open {workdir}",
        lambda: runs.open_run(
            workdir,
            settings=settings,
            environment=environment,
            argument="--workdir",
            shard=here,
            ids={point.id for point in points},
        ),
    )
    if here.count > 1:
        check_shared(workdir, here.count)
    with opened as run:
        missing = [point for point in points if point.id not in run.done]
        mine = here.share(missing)
        parallel.part_ways()
        say(f"run         {workdir}: {len(missing)} of {len(points)} points to certify")
        told = (at_waveform, *noise_laws.caveats(settings))
        for line in (*_plan_lines(planned, request, system), *told):
            say(f"            {line}")
        chunk = None
        if mine and request.bound == "clopper_pearson":
            votes = functools.partial(
                smoothing.count_votes, logits_fn, key=key, noise=system.noise,
                tile=tile, mesh=mesh,
            )  # fmt: skip
            chunk = _chunk(votes, mine, request, tile, mesh)
        correct, seen = 0, 0
        # One process alone counts the points of earlier starts, too.
        before = len(points) - len(missing) if here.count == 1 else 0
        with Progress(
            here.name("certify"), total=before + len(mine), unit="points", done=before
        ) as line:
            write, every = (
                vote_checkpoints.writer(workdir, here),
                request.num_estimation,
            )
            limits = vote_checkpoints.Limits(
                {point.id for point in points},
                len(classifier.labels),
                request.num_selection,
                request.num_estimation,
            )

            def on_tally(id: str, tally: smoothing.Tally) -> None:
                write(id, tally)
                line.advance(0, note=f"{tally.num_estimation:,} of {every:,} votes")

            for row in evaluation.certify_points(
                logits_fn,
                mine,
                key,
                noise=system.noise,
                num_selection=request.num_selection,
                num_estimation=request.num_estimation,
                alpha=request.alpha,
                bound=request.bound,
                radii=request.radii,
                waveform_bound=bound,
                tile=tile,
                tiles_at_once=tiles_at_once,
                chunk=chunk,
                mesh=mesh,
                tallies=vote_checkpoints.read(workdir, limits, note=say),
                on_tally=on_tally,
            ):
                run.append(row)
                write(row.id, None)
                correct, seen = correct + row.correct, seen + 1
                line.advance(note=f"right and certified {correct / seen:.2f}")
    if not runs.num_missing(workdir):
        vote_checkpoints.remove(workdir)
    return workdir


def waveform_bound(stage: Representation, noise: smoothing.Noise) -> tuple[float, str]:
    """How far a stage moves for 1 at the waveform, at most, and that in words.

    NaN where no such bound is known; the words are the reason then.
    """
    if noise.norm != "l2":
        return math.nan, f"radii are not carried back: {noise.norm}, not l2"
    try:
        bound = lipschitz_bound(stage)
    except ValueError as error:
        return math.nan, str(error)
    return bound, f"a radius here, divided by {bound:.6g}, is one at the waveform"


def _mesh(classifier: Classifier) -> Mesh | None:
    """The devices that share a point's votes: all of this process's, as a rule.

    On a CPU a device is a thread. Small networks measured a fifth to a half faster with
    one for each core, and one whose weights fill the cache a little slower.
    """
    if jax.default_backend() == "cpu" and 4 * classifier.num_parameters() > 32 * 2**20:
        return None
    return parallel.local_mesh()


def _tile(
    logits_fn, point, system: System, request: Certification, mesh: Mesh | None
) -> tuple[int, int]:
    """Copies of a point at once, and how many times that side by side, as they fit."""
    sequential = request.bound == "sequential"
    default = smoothing.SEQUENTIAL_TILE if sequential else smoothing.default_tile()
    tile = default if request.tile is None else request.tile
    wanted = max(tile, smoothing.default_tile()) if sequential else tile
    fitting = smoothing.fitting_tile(
        logits_fn, point.x, noise=system.noise, tile=wanted, mesh=mesh
    )
    if fitting < wanted:
        say(f"memory      holds {fitting} noisy copies at once, not {wanted}")
    tile = min(tile, fitting)
    return tile, fitting // tile


def check_shared(workdir: pathlib.Path, count: int) -> None:
    """Nothing; refuses a folder that the other processes have on disks of their own."""
    there = {path.name for path in shards(workdir)}
    absent = {shard_name(index, count) for index in range(count)} - there
    if absent:
        raise ValueError(
            f"{workdir} has no {', '.join(sorted(absent))}: the other processes write "
            "elsewhere. Give every process the same --home (or --workdir), on a disk "
            "that all of them see"
        )


def _plan_lines(planned: smoothing.Plan, request: Certification, system: System):
    most = "at most " if request.bound == "sequential" else ""
    yield (
        f"{system.task.noise} noise {system.task.sigma:g} at {system.stage.name}, "
        f"n0={request.num_selection}, n={most}{request.num_estimation}, "
        f"alpha={request.alpha:g}: radii up to {planned.max_radius:.3f}; "
        f"{planned.votes_needed} equal votes or it abstains"
    )
    beyond = [r for r in planned.radii if r.votes_needed is None]
    if beyond:
        needs = ", ".join(f"{r.radius:g} ({_least_n(r)})" for r in beyond)
        yield f"out of reach: radius {needs}"


def _least_n(planned: smoothing.PlannedRadius) -> str:
    most = planned.num_estimation
    return "no n would do" if most is None or most > 10**9 else f"n >= {most:,}"


def _chunk(votes, mine, request: Certification, tile: int, mesh: Mesh | None) -> int:
    """Tiles of a dispatch that takes about a second; says how long all will take.

    Times a few tiles of the very program that will run, and traces them if asked to.
    """
    devices = 1 if mesh is None else mesh.size
    copies = 5 * devices * tile
    votes = functools.partial(votes, mine[0].x, num_samples=copies)
    votes()
    if request.profile is not None:
        with jax.profiler.trace(request.profile):
            votes()
        say(f"profile     {request.profile}")
    start = time.perf_counter()
    votes()
    rate = copies / (time.perf_counter() - start)
    total = len(mine) * (request.num_selection + request.num_estimation)
    say(f"            {rate:,.0f} votes/s here: about {duration(total / rate)}")
    return max(1, round(rate / (tile * devices)))


def read_run(folder: pathlib.Path, label: str | None = None) -> Run:
    """A finished or running run for tables and plots."""
    settings = runs.description(folder)["settings"]
    return Run(
        label or label_of(settings),
        CERTIFICATES.read(folder),
        settings["cap"],
        settings.get("alpha"),
    )


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
    each = [runs.description(folder)["settings"] for folder in folders]
    units = {_units(settings) for settings in each}
    lines = ["# Certified accuracy", tables.as_markdown(table)]
    missing = ""
    try:
        from advjax.reports import figures

        figures.certified_accuracy_plot(
            found, out / "curve.png", units=" / ".join(sorted(units))
        )
        lines.append("![certified accuracy over the radius](curve.png)")
    except ImportError:
        missing = "\n\n(no plot: pip install 'advjax[plots]')"
    if all(settings["noise"]["law"] == "gaussian" for settings in each):
        lines += [
            f"# Largest certifiable radius, alpha = {alpha:g}",
            tables.as_markdown(caps),
        ]
    text = tables.as_text(table)
    for run, settings in zip(found, each, strict=True):
        if settings["bound"] == "sequential":
            saved = saved_votes.table(run.rows.n, settings)
            lines += [f"# Votes of {run.label}", tables.as_markdown(saved)]
            text += f"\n\n{tables.as_text(saved)}"
    lines += [_tones(settings) for settings in each if "tone_db" in settings["noise"]]
    told = caveats.of_runs(folders)
    lines += told
    text += "".join(f"\n\n{line}" for line in told)
    with new_file(out / "report.md") as aside:
        aside.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    return text + missing


def _units(settings: Mapping[str, Any]) -> str:
    """What radii of a run are in: the stage's units, and a norm other than l2."""
    stage, norm = settings["noise_enters_at"], settings["noise"]["norm"]
    return stage if norm == "l2" else f"{stage}, {norm}"


_OCTAVES_HZ = (125, 250, 500, 1000, 2000, 4000)


def _tone_db(system: System) -> dict[str, dict[str, float]]:
    """What coloured noise makes of a radius for a perturbation at one frequency."""
    if (gains := smoothing.gains_of(system.noise)) is None:
        return {}
    root = system.representation.chain()[0]
    places = np.array(_OCTAVES_HZ) * root.num_samples // root.sample_rate_hz
    # Of a radius of 1, which is 0 dB.
    found = smoothing.tone_radius_db(1.0, gains)[places]
    tones = zip(_OCTAVES_HZ, found.tolist(), strict=True)
    return {"tone_db": {str(hz): round(db, 2) for hz, db in tones}}


def _tones(settings: Mapping[str, Any]) -> str:
    """What radii in the ellipsoid's norm are for a tone, in words."""
    tones = settings["noise"]["tone_db"].items()
    each = ", ".join(f"{float(db):+.1f} dB at {hz} Hz" for hz, db in tones)
    return (
        f"Of {settings['noise']['law']}: a perturbation at one frequency is certified "
        f"up to an l2 norm of the radius and {each}."
    )
