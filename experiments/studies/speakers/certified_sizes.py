"""Sizes of the study of certified speakers, and the flags that change them."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from advjax import catalog, smoothing
from advjax.reports.tables import PUBLICATION_RADII
from experiments import flags, requests
from experiments.lab import presets
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task
from experiments.studies.speakers import sizes

FLAGS = (*sizes.FLAGS, flags.PRECISION, flags.ENGINE)
SIGMAS = {
    "mfbe": (0.5, 0.25, 0.1, 0.05, 0.01),
    "magnitude": (0.5, 0.25, 0.1, 0.05, 0.01),
    "waveform": (0.05, 0.1, 0.01, 0.005, 0.0025, 0.001),
}
"""Those of the publication; at the waveform, whose table it left pending, such in which
a network still hears speech: noise of 0.1 is louder than most of it."""
CHECKED = {"mfbe": 0.5, "magnitude": 0.5, "waveform": 0.05}
"""Sigma of the cell of each stage that is certified again with a fixed n."""
REPEATED = (0.25, 0.5)
"""Sigmas at mfbe whose networks are trained with several seeds."""
WAVEFORM_MULTIPLES = (0.5, 1.0, 1.5)
"""Radii at the waveform, in sigmas, beside the publication's."""


class Stage(NamedTuple):
    """Sizes of the cells of a stage.

    Attributes:
        num_points: test crops.
        num_steps: of the training.
    """

    num_points: int
    num_steps: int


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        preset: of the network and its data.
        stages: sizes of the cells by their stage.
        num_estimation: most votes that bound a probability.
        num_many: votes of the cell with as many as Cohen et al.
        num_points_many: its test crops.
        seeds: seeds of the trainings at mfbe with a sigma of `REPEATED`.
        base: the task, but for the noise, the training and the steps of a cell.
        by_chapter: the corpus split by chapter, if it can be.
    """

    preset: presets.Preset
    stages: Mapping[str, Stage]
    num_estimation: int = 10_000
    num_many: int = 100_000
    num_points_many: int = 50
    seeds: int = 3
    base: Task | None = None
    by_chapter: str | None = None


NUM_SELECTION = 500
"""Votes that choose the class: n0 of the publication."""

_SMALL = presets.SMALL._replace(crops={"train": 300, "validation": 30, "test": 30})
PRESETS = {
    "small": Size(
        _SMALL,
        {
            "mfbe": Stage(300, 900),
            "magnitude": Stage(150, 900),
            "waveform": Stage(100, 1_500),
        },
    ),
    "medium": Size(
        presets.MEDIUM,
        {at: Stage(100, presets.MEDIUM.recipe.num_steps) for at in SIGMAS},
    ),
    "publication": Size(
        presets.PUBLICATION,
        {at: Stage(300, presets.PUBLICATION.recipe.num_steps) for at in SIGMAS},
    ),
}


def sized(size: Size) -> Size:
    """A preset with the changes of the flags."""
    base = requests.task(size=size.preset)
    crops = {**base.crops, "train": flags.value_or(flags.CROPS, base.crops["train"])}
    return size._replace(
        stages={
            at: Stage(
                flags.value_or(flags.NUM_POINTS, each.num_points),
                flags.value_or(flags.NUM_STEPS, each.num_steps),
            )
            for at, each in size.stages.items()
        },
        num_estimation=flags.value_or(flags.VOTES, size.num_estimation),
        base=dataclasses.replace(base, crops=crops),
        by_chapter=by_chapter(base.corpus),
    )


def by_chapter(corpus: str) -> str | None:
    """The corpus split by chapter; None for one without chapters or with a split."""
    name, options = catalog.parse(corpus)
    if name != "librispeech" or "split" in options:
        return None
    spelled = (f"{key}={v!r}" for key, v in (options | {"split": "chapter"}).items())
    return f"{name}({', '.join(spelled)})"


def radii(at: str, sigma: float) -> tuple[float, ...]:
    """The radii of a certificate's table, rising: the publication's, and our own."""
    own = [m * sigma for m in WAVEFORM_MULTIPLES] if at == "waveform" else []
    return tuple(sorted({*PUBLICATION_RADII, *(round(each, 6) for each in own)}))


def certification(size: Size, at: str, sigma: float) -> Certification:
    """Settings of the certificates of a cell of the grid."""
    return Certification(
        NUM_SELECTION,
        size.num_estimation,
        radii=radii(at, sigma),
        bound=smoothing.Sequential.name,
    )
