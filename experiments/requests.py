"""Requests that the flags describe: a task, a certification, a part of a study.

JAX is imported only when one is made.
"""

import dataclasses
import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from absl import logging

from advjax.runtime import failures
from experiments import app, flags

if TYPE_CHECKING:
    from experiments.lab import grid, presets
    from experiments.lab.certify_settings import Certification
    from experiments.lab.task import Draft, System, Task


def preset() -> "presets.Preset":
    """The sizes of --preset, or else those for this machine."""
    import jax

    from experiments.lab import presets

    if flags.PRESET.value:
        return presets.PRESETS[flags.PRESET.value]
    return presets.preset_of(jax.default_backend())


def task(*, defence: str = "gaussian", size: "presets.Preset | None" = None) -> "Task":
    """The task that the flags describe.

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
    from experiments.lab import defences, trainers
    from experiments.lab.task import Task

    logging.debug("compiler settings: %s", compiler_options())
    size = size or preset()
    model = flags.MODEL.value or size.model
    if flags.CLASSIFIER.value is None:
        failures.need(*trainers.trainer_of(model).packages)
    given = {"num_steps": flags.NUM_STEPS.value, "batch_size": flags.BATCH_SIZE.value}
    changes = {name: value for name, value in given.items() if value is not None}
    return Task(
        home=pathlib.Path(flags.HOME.value),
        corpus=flags.CORPUS.value,
        corpus_dir=flags.CORPUS_DIR.value,
        on_error=flags.ON_ERROR.value,
        features=flags.FEATURES.value,
        at=flags.REP.value,
        sigma=flags.SIGMA.value,
        noise=flags.NOISE.value,
        defence=flags.DEFENCE.value
        or defences.default(defence, noise=flags.NOISE.value),
        model=model,
        crops=size.crops,
        recipe=dataclasses.replace(size.recipe, **changes),
        seed=flags.SEED.value,
        records_folder=flags.RECORDS.value,
        classifier_folder=flags.CLASSIFIER.value,
    )


def announce(draft: "Draft", words: str) -> None:
    """Say what a program will do, about how long, and where it writes.

    Args:
        draft: its task, already checked.
        words: what it does; {} stands for the clips.
    """
    from experiments.lab import presets
    from experiments.lab.console import say

    size = preset()
    count = flags.NUM_POINTS.value or min(size.num_points, draft.source.sizes["test"])
    clips = f"{count} clips of {draft.source.flag}"
    say(f"plan        {words.replace('{}', clips)}")
    remark = ""
    if size is presets.SMALL and not flags.PRESET.value:
        training = (flags.CORPUS, flags.FEATURES, flags.DEFENCE, flags.MODEL)
        given = (flags.NUM_STEPS, flags.BATCH_SIZE, flags.RECORDS, flags.CLASSIFIER)
        remark = " Small sizes for a CPU"
        if not any(map(flags.is_set, training + given)):
            remark += ": new records and network take about 2 minutes on 2 cores"
        remark += ". Published sizes: --preset=publication"
    say(f"            Writes into --home={draft.task.home}.{remark}")


def num_points(system: "System") -> int:
    """The number of test clips: as asked, or the default if there are as many."""
    return system.data.num_points(flags.NUM_POINTS.value, preset().num_points)


def certified(
    check: Callable[["Draft"], Any] = lambda draft: None,
) -> tuple["System", pathlib.Path]:
    """Certify as the flags say; return the classifier and the folder of the run.

    Args:
        check: refuses a draft that the program cannot use, before any work.
    """
    from experiments.lab import certify, preflight

    draft = task().draft()
    check(draft)
    request, folder = certification(), workdir()
    preflight.check_certification(
        draft, request, num_points=flags.NUM_POINTS.value, workdir=folder
    )
    at = f"at {draft.stage.name} under {draft.task.noise} noise {draft.task.sigma:g}"
    announce(draft, f"certify {{}} {at}, {request.plan}")
    system = draft.resolve()
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
        preset=flags.PRESET.value or "small",
        dry_run=flags.DRY_RUN.value,
    )


def workdir() -> pathlib.Path | None:
    """The folder of the run, if one is given."""
    return pathlib.Path(flags.WORKDIR.value) if flags.WORKDIR.value else None


def certification() -> "Certification":
    """The certification that the flags describe."""
    from experiments.lab import preflight
    from experiments.lab.certify_settings import Certification

    size, given = preset(), {}
    if flags.RADII.value:
        given["radii"] = preflight.numbers("radii", flags.RADII.value)
    return Certification(
        num_selection=flags.value_or(flags.NUM_SELECTION, size.num_selection),
        num_estimation=flags.value_or(flags.NUM_ESTIMATION, size.num_estimation),
        alpha=flags.ALPHA.value,
        precision=flags.PRECISION.value,
        tile=flags.TILE.value,
        bound=flags.BOUND.value,
        profile=pathlib.Path(flags.PROFILE.value) if flags.PROFILE.value else None,
        **given,
    )
