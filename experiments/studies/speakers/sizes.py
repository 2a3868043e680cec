"""Sizes of the studies of speakers, and the flags that change them."""

import dataclasses
from typing import NamedTuple

from experiments import flags, requests
from experiments.lab import presets
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task

FLAGS = (
    *flags.MODEL_FLAGS,
    *flags.DATA_FLAGS,
    *(flags.NUM_POINTS, flags.VOTES, flags.CROPS, flags.OUT),
    *flags.GRID_FLAGS,
    *flags.RUN_FLAGS,
)


class Size(NamedTuple):
    """A preset, and the size of attacks.

    Attributes:
        preset: of the task and its certificates.
        num_steps: of PGD; the imperceptible attack takes six times as many.
        num_draws: noisy copies in the mean that a step on a smoothed classifier sees.
    """

    preset: presets.Preset
    num_steps: int
    num_draws: int


PRESETS = {
    "small": Size(presets.SMALL, num_steps=10, num_draws=8),
    "medium": Size(presets.MEDIUM, num_steps=40, num_draws=16),
    "publication": Size(presets.PUBLICATION, num_steps=100, num_draws=16),
}


class Speakers(NamedTuple):
    """A size with what the flags change.

    Attributes:
        base: the task, but for the noise and the training of a cell.
        certification: how to certify.
        num_points: test crops a cell.
        num_steps: as in `Size`.
        num_draws: as in `Size`.
    """

    base: Task
    certification: Certification
    num_points: int
    num_steps: int
    num_draws: int


def sized(size: Size) -> Speakers:
    """The sizes of this start."""
    preset = size.preset
    base = requests.task(size=preset)
    crops = {**base.crops, "train": flags.value_or(flags.CROPS, base.crops["train"])}
    votes = flags.value_or(flags.VOTES, preset.num_estimation)
    return Speakers(
        dataclasses.replace(base, crops=crops),
        Certification(preset.num_selection, votes),
        flags.value_or(flags.NUM_POINTS, max(preset.num_points, 40)),
        size.num_steps,
        size.num_draws,
    )
