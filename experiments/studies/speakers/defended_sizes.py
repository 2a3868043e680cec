"""Sizes of the study of defended speakers, and the flags that change them."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from experiments import flags, requests
from experiments.lab import presets
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task
from experiments.studies.speakers import sizes

FLAGS = (*sizes.FLAGS, flags.PRECISION, flags.ENGINE)
NUM_SEEDS = 3
"""Seeds of the trainings at mfbe."""


class Attacks(NamedTuple):
    """Strengths of the attacks.

    Attributes:
        num_points: test crops that are attacked.
        pgd_steps: steps of PGD.
        pgd_draws: noisy copies in the mean that its step on a smoothed classifier sees.
        num_searches: constants that Carlini and Wagner's attack tries.
        search_steps: its steps for each constant.
        search_draws: its noisy copies.
        imperceptible: steps of the two stages of the imperceptible attack.
        imperceptible_draws: its noisy copies.
    """

    num_points: int = 60
    pgd_steps: int = 50
    pgd_draws: int = 16
    num_searches: int = 3
    search_steps: int = 100
    search_draws: int = 8
    imperceptible: tuple[int, int] = (200, 800)
    imperceptible_draws: int = 8


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        preset: of the network, its data and the votes.
        num_points: test crops of the cells of a stage.
        num_steps: of the training at a stage.
        attacks: on certified and plain networks.
        num_validation: validation crops that choose the setting of a defence.
        base: the task, but for the noise, the training and the seed of a cell.
        certification: how to certify.
    """

    preset: presets.Preset
    num_points: Mapping[str, int]
    num_steps: Mapping[str, int]
    attacks: Attacks = Attacks()
    num_validation: int = 300
    base: Task | None = None
    certification: Certification | None = None


def _of_preset(preset: presets.Preset, **changes) -> Size:
    steps = dict.fromkeys(("mfbe", "magnitude", "waveform"), preset.recipe.num_steps)
    return Size(preset, dict.fromkeys(steps, 100), steps, **changes)


PRESETS = {
    # Data and steps of `certified_speakers`, whose networks are found again.
    "small": Size(
        presets.SMALL._replace(crops={"train": 300, "validation": 30, "test": 30}),
        {"mfbe": 100, "magnitude": 60, "waveform": 60},
        {"mfbe": 900, "magnitude": 900, "waveform": 1_500},
    ),
    "medium": _of_preset(presets.MEDIUM),
    "publication": _of_preset(
        presets.PUBLICATION, attacks=Attacks(num_points=100, pgd_steps=100)
    ),
}


def sized(size: Size) -> Size:
    """A preset with the changes of the flags."""
    base = requests.task(size=size.preset)
    crops = {**base.crops, "train": flags.value_or(flags.CROPS, base.crops["train"])}

    def changed(flag, numbers: Mapping[str, int]) -> dict[str, int]:
        return {at: flags.value_or(flag, number) for at, number in numbers.items()}

    return size._replace(
        num_points=changed(flags.NUM_POINTS, size.num_points),
        num_steps=changed(flags.NUM_STEPS, size.num_steps),
        base=dataclasses.replace(base, crops=crops),
        certification=Certification(
            size.preset.num_selection,
            flags.value_or(flags.VOTES, size.preset.num_estimation),
        ),
    )
