"""Requests that the flags describe: a task, a certification, attacks.

JAX is imported only when one is asked for.
"""

import dataclasses
import pathlib
from typing import TYPE_CHECKING

from advjax.runtime import failures
from experiments import flags

if TYPE_CHECKING:
    from experiments.lab import grid, presets
    from experiments.lab.certify_settings import Certification
    from experiments.lab.task import Task


def task(*, defence: str = "gaussian", size: "presets.Preset | None" = None) -> "Task":
    """The task that the flags describe.

    Args:
        defence: without --defence. A smoothed classifier needs noise in training. One
            to attack does not, and at the waveform, noise as loud as smoothing takes
            there leaves it at chance.
        size: of the training, where flags leave it open; by default the machine's.
    """
    if flags.RECORDS.value is None:
        # A later step would miss them, after hours.
        failures.need(
            "array_record",
            "importlib_resources",
            "tensorflow_datasets",
            liked=["matplotlib"],
        )
    import jax

    from advjax.runtime.compilation import compiler_options
    from experiments.lab import defences, presets, trainers
    from experiments.lab.console import say
    from experiments.lab.task import Task

    if settings := compiler_options():
        text = ", ".join(f"{name}={value}" for name, value in settings.items())
        say(f"settings    {text} (--noxla_settings: none)")
    if size is None:
        size = presets.preset_of(jax.default_backend())
        say(f"preset      {size.name}, for the backend {jax.default_backend()}")
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


def study(name: str) -> "grid.Choice":
    """The part of a study that the flags choose, and its folder.

    Args:
        name: of the study.
    """
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


def certify(size: "presets.Preset") -> "Certification":
    """The certification that the flags describe."""
    from advjax.reports import tables
    from experiments.lab import preflight
    from experiments.lab.certify_settings import Certification

    radii = flags.RADII.value and preflight.numbers("radii", flags.RADII.value)
    return Certification(
        num_selection=flags.value_or(flags.NUM_SELECTION, size.num_selection),
        num_estimation=flags.value_or(flags.NUM_ESTIMATION, size.num_estimation),
        alpha=flags.ALPHA.value,
        radii=radii or tables.PUBLICATION_RADII,
        precision=flags.PRECISION.value,
        tile=flags.TILE.value,
        bound=flags.BOUND.value,
        profile=pathlib.Path(flags.PROFILE.value) if flags.PROFILE.value else None,
    )
