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
PRESETS = {
    "small": (presets.SMALL, 10, 8),
    "medium": (presets.MEDIUM, 40, 16),
    "publication": (presets.PUBLICATION, 100, 16),
}
"""Sizes of the task and its certificates, `num_steps` and `num_draws` of `Speakers`."""


class Speakers(NamedTuple):
    """A preset with the changes of the flags.

    Attributes:
        base: the task, but for the noise and the training of a cell.
        certification: how to certify.
        num_points: test crops a cell.
        num_steps: of PGD; the imperceptible attack takes six times as many.
        num_draws: noisy copies in the mean that a step on a smoothed classifier sees.
    """

    base: Task
    certification: Certification
    num_points: int
    num_steps: int
    num_draws: int


def sized(size: tuple[presets.Preset, int, int]) -> Speakers:
    """The sizes of this start."""
    preset, num_steps, num_draws = size
    base = requests.task(size=preset)
    crops = {**base.crops, "train": flags.value_or(flags.CROPS, base.crops["train"])}
    votes = flags.value_or(flags.VOTES, preset.num_estimation)
    return Speakers(
        dataclasses.replace(base, crops=crops),
        Certification(preset.num_selection, votes),
        flags.value_or(flags.NUM_POINTS, max(preset.num_points, 40)),
        num_steps,
        num_draws,
    )
