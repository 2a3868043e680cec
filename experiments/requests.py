"""Requests that the flags describe: a task, a certification, a part of a study.

JAX is imported only when one is made.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absl import logging

from advjax.runtime import failures, foreign_names
from experiments import app, flags

if TYPE_CHECKING:
    from experiments.lab import grid, presets
    from experiments.lab.certify_settings import Certification
    from experiments.lab.earlier_runs import EarlierRun
    from experiments.lab.task import Draft, System, Task


def preset() -> "presets.Preset":
    """The sizes of --preset."""
    from experiments.lab import presets

    return presets.PRESETS[flags.PRESET.value]


def earlier_run() -> "EarlierRun | None":
    """The run of --run, if one is given."""
    if flags.RUN.value is None:
        return None
    from experiments.lab import earlier_runs

    return earlier_runs.read(pathlib.Path(flags.RUN.value))


def draft(
    *, defence: str = "gaussian", to_certify: bool = False, to_train: bool = False
) -> "Draft":
    """The draft of the task that the flags describe, or --run with other flags.

    Args:
        defence: see `task`.
        to_certify: the program certifies, unless --run has certificates.
        to_train: --precision is also that of the training.

    Raises:
        ValueError: a flag that contradicts --run, or --log without a training.
    """
    if flags.LOG.value:
        failures.need("tensorboardX")
    if (run := earlier_run()) is None:
        found = task(defence=defence)
        if to_train:
            recipe = dataclasses.replace(found.recipe, precision=found.precision)
            found = dataclasses.replace(found, recipe=recipe)
        return _logged(found.draft())
    free = [flags.REP, flags.SEED, flags.NUM_POINTS, flags.WORKDIR, flags.PRECISION]
    if to_certify:
        new = (*free, flags.SIGMA, flags.NOISE, *flags.CERTIFY_FLAGS)
        free = [] if run.kind == "certify" else [*new]
    known = (*flags.MODEL_FLAGS, *flags.DATA_FLAGS, *flags.CERTIFY_FLAGS)
    known += (flags.SEED, flags.NUM_POINTS, flags.WORKDIR)
    given = {flag.name: flag.value for flag in known if flags.is_set(flag)}
    if "radii" in given:
        given["radii"] = radii() or []
    names = {flag.name for flag in free}
    run.check_flags({name: v for name, v in given.items() if name not in names})
    found = run.task(flags.home(), given).draft()
    run.check(found)
    return _logged(found)


def _logged(draft: "Draft") -> "Draft":
    """The draft with --log."""
    if flags.LOG.value is None:
        return draft
    from experiments.lab import trainers

    trainer = trainers.trainer_of(draft.task.model)
    if draft.given is not None or not trainer.validates:
        raise ValueError(
            f"--log={flags.LOG.value}: no training by gradients follows; leave it out"
        )
    return dataclasses.replace(draft, log=flags.LOG.value)


def task(*, defence: str = "gaussian", size: "presets.Preset | None" = None) -> "Task":
    """The task that the flags describe, without --run.

    Args:
        defence: without --defence. A smoothed classifier needs noise in training. A
            classifier to attack does not, and at the waveform, noise as loud as
            smoothing takes there leaves it at chance.
        size: of the training, where flags leave it open; that of `preset` by default.
    """
    if flags.RECORDS.value is None:
        # A later step would miss them, after hours.
        failures.need(
            "array_record",
            "importlib_resources",
            "tensorflow_datasets",
            liked=["matplotlib"],
        )
    from advjax.runtime.compilation import compiler_options
    from experiments.lab import classifiers, defences, trainers
    from experiments.lab.task import Task

    logging.debug("compiler settings: %s", compiler_options())
    size = size or preset()
    model = flags.MODEL.value or size.model
    given, weights = flags.CLASSIFIER.value, flags.WEIGHTS.value
    if given is None and (given := classifiers.published(model, weights)):
        weights = None
    # A classifier that is there needs nothing of a training.
    trainer = trainers.NETWORK if given else trainers.trainer_of(model)
    failures.need(*trainer.packages)
    own = {"rep": None} if given and foreign_names.parse(given) else trainer.flags
    chosen = {
        flag.name: flag.value if flags.is_set(flag) else own.get(flag.name, flag.value)
        for flag in (flags.FEATURES, flags.REP, flags.DEFENCE)
    }
    steps = {"num_steps": flags.NUM_STEPS.value, "batch_size": flags.BATCH_SIZE.value}
    changes = {name: value for name, value in steps.items() if value is not None}
    return Task(
        home=flags.home(),
        corpus=flags.CORPUS.value,
        corpus_dir=flags.CORPUS_DIR.value,
        on_error=flags.ON_ERROR.value,
        features=chosen["features"],
        at=chosen["rep"],
        sigma=flags.SIGMA.value,
        noise=flags.NOISE.value,
        defence=chosen["defence"] or defences.default(defence, noise=flags.NOISE.value),
        model=model,
        crops={**size.crops, **trainer.crops},
        recipe=dataclasses.replace(size.recipe, **changes),
        seed=flags.SEED.value,
        records_folder=flags.RECORDS.value,
        classifier_folder=given,
        fit_batch=flags.BATCH_SIZE.value is None,
        precision=flags.PRECISION.value,
        engine=flags.ENGINE.value,
        weights=weights,
    )


def announce(draft: "Draft", words: str, *, into: str = "") -> None:
    """Say what a program will do, about how long, and where it writes.

    Args:
        draft: its task, already checked.
        words: what it does; {} stands for the clips.
        into: where it writes; by default the home.
    """
    from experiments.lab import presets
    from experiments.lab.console import say

    available = draft.source.sizes["test"]
    count = flags.NUM_POINTS.value or min(_default_num_points(), available)
    origin = draft.source.folder.name if flags.RUN.value else draft.source.flag
    say(f"plan        {words.replace('{}', f'{count} clips of {origin}')}")
    for line in draft.source.found:
        say(f"            {line}")
    say(f"            Network: {draft.network}.")
    remark, size = "", preset()
    if not flags.RUN.value:
        training = (flags.CORPUS, flags.FEATURES, flags.DEFENCE, flags.MODEL)
        given = (flags.NUM_STEPS, flags.BATCH_SIZE, flags.RECORDS, flags.CLASSIFIER)
        remark = f" Sizes: --preset={size.name}"
        if not any(map(flags.is_set, training + given)):
            remark += f", with new records and network about {size.duration}"
        if size is presets.SMALL:
            remark += ". Published sizes: --preset=publication"
    say(f"            Writes into {into or f'--home={draft.task.home}'}.{remark}")


def num_points(system: "System") -> int:
    """The number of test clips: as asked, or the default if there are as many."""
    return system.data.num_points(flags.NUM_POINTS.value, _default_num_points())


def _default_num_points() -> int:
    run, default = earlier_run(), preset().num_points
    return default if run is None else run.values.get("num_points", default)


def certified(
    check: Callable[["Draft"], Any] = lambda draft: None, *, then: str = ""
) -> tuple["System", pathlib.Path]:
    """Certify as the flags say; return the classifier and the folder of the run.

    The certificates of --run are taken as they are.

    Args:
        check: refuses a draft that the program cannot use, before any work.
        then: what the program does with the certificates.

    Raises:
        ValueError: a request that cannot be met, or a --run that is not finished.
    """
    from advjax.runs import folder as runs
    from experiments.lab import certify, preflight

    run, found = earlier_run(), draft(to_certify=True)
    check(found)
    if run is not None and run.kind == "certify":
        if left := runs.num_missing(run.folder):
            raise ValueError(
                f"{run.flag} is not finished, {left} clips have no certificate: give "
                "the command of that run again first"
            )
        announce(found, then, into=str(run.folder))
        return found.resolve(), run.folder
    request, folder = certification(), workdir()
    preflight.check_certification(
        found, request, num_points=flags.NUM_POINTS.value, workdir=folder
    )
    at = f"at {found.stage.name} under {found.task.noise} noise {found.task.sigma:g}"
    words = f"certify {{}} {at}, {request.plan}"
    announce(found, f"{words}; then {then}" if then else words)
    system = found.resolve()
    folder = certify.certify(
        system,
        request,
        num_points=num_points(system),
        workdir=folder,
        environment=app.environment(),
    )
    return system, folder


def study(name: str) -> "grid.Choice":
    """The part of the study of that name that the flags choose, and its folder."""
    from experiments.lab import grid

    default = pathlib.Path(flags.HOME.value) / "studies" / name
    return grid.Choice(
        out=pathlib.Path(flags.OUT.value) if flags.OUT.value else default,
        cells=flags.CELLS.value,
        share=flags.SHARE.value,
        preset=flags.PRESET.value,
        dry_run=flags.DRY_RUN.value,
    )


def workdir() -> pathlib.Path | None:
    """The folder of the run, if one is given."""
    return pathlib.Path(flags.WORKDIR.value) if flags.WORKDIR.value else None


def radii() -> list[float] | None:
    """The radii of --radii, if it gives any.

    Raises:
        ValueError: one is no finite number of 0 or more.
    """
    from experiments.lab import preflight

    return preflight.numbers("radii", flags.RADII.value or []) or None


def certification() -> "Certification":
    """The certification that the flags describe."""
    from experiments.lab.certify_settings import Certification

    size, given = preset(), {}
    if asked := radii():
        given["radii"] = asked
    return Certification(
        num_selection=flags.value_or(flags.NUM_SELECTION, size.num_selection),
        num_estimation=flags.value_or(flags.NUM_ESTIMATION, size.num_estimation),
        alpha=flags.ALPHA.value,
        tile=flags.TILE.value,
        bound=flags.BOUND.value,
        profile=pathlib.Path(flags.PROFILE.value) if flags.PROFILE.value else None,
        **given,
    )
