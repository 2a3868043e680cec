"""Sizes of the study of the classical pipeline, and the flags that change them."""

from collections.abc import Mapping
from typing import NamedTuple

from advjax.runtime import failures
from advjax.training import Recipe
from experiments import flags
from experiments.studies import image_corpora
from experiments.studies.image_corpora import short_recipe
from experiments.studies.robust_svm.selection import Candidates


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        scale: divisor of an image's sides.
        networks: AlexNet and GoogLeNet with their options.
        pipeline: options of the pipeline that are not chosen.
        candidates: settings of the pipeline to choose among.
        pixels: entries of the image that is the plain SVM's input.
        recipe: of networks and autoencoders.
        num_points: clips of a corpus to attack, shared among its folds.
        num_slots: clips attacked at once.
        num_restarts: of PGD.
        attacks: attacks whose options depend on the size.
        num_estimation: votes that bound the probability of a certificate's class.
    """

    scale: float
    networks: Mapping[str, str]
    pipeline: Mapping[str, object]
    candidates: Candidates
    pixels: int
    recipe: Recipe
    num_points: int
    num_slots: int
    num_restarts: int
    attacks: Mapping[str, str]
    num_estimation: int


FRONTS = ((0.95, False), (0.99, False), (0.999, False), (0.95, True), (0.99, True))
"""Shares of the energy, and True where the image is centred; ours, as no share is
published."""
PRESETS = {
    "small": Size(
        scale=12,
        networks={
            "alexnet": "alexnet(width=24,resize=None)",
            "googlenet": "googlenet(width=8,resize=64)",
        },
        pipeline={"width": 8},
        candidates=Candidates(fronts=FRONTS, zones=(6, 8, 12), words=(64, 128, 256)),
        pixels=512,
        recipe=short_recipe(200, validate_every=25),
        num_points=60,
        num_slots=10,
        num_restarts=3,
        attacks={
            "jsma": "jsma(pairs=False,gamma=0.005)",
            "carlini_wagner": (
                "carlini_wagner(num_searches=4,num_steps=80,initial_c=1.0)"
            ),
            "nes": "nes(max_queries=600)",
        },
        num_estimation=1_000,
    ),
    "medium": Size(
        scale=6,
        networks={
            "alexnet": "alexnet(width=48,resize=None)",
            "googlenet": "googlenet(width=16,resize=112)",
        },
        pipeline={"width": 16, "max_points": 512},
        candidates=Candidates(fronts=FRONTS, zones=(8, 16), words=(128, 256, 512)),
        pixels=1_024,
        recipe=short_recipe(2_000, validate_every=100),
        num_points=100,
        num_slots=16,
        num_restarts=5,
        attacks={
            "jsma": "jsma(pairs=False,gamma=0.01)",
            "carlini_wagner": "carlini_wagner(num_searches=5,num_steps=300)",
            "nes": "nes(max_queries=3000)",
        },
        num_estimation=10_000,
    ),
    # The publication states no size. These are the group's images, the networks as
    # published, and the pipeline's defaults.
    "publication": Size(
        scale=1,
        networks={"alexnet": "alexnet", "googlenet": "googlenet"},
        pipeline={"width": 32, "max_points": 1024},
        candidates=Candidates(fronts=FRONTS, zones=(8, 16), words=(256, 512, 1024)),
        pixels=2_048,
        recipe=Recipe(num_steps=20_000, batch_size=32, validate_every=200),
        num_points=200,
        num_slots=32,
        num_restarts=10,
        attacks={
            "jsma": "jsma(pairs=False,gamma=0.01)",
            "carlini_wagner": "carlini_wagner(num_searches=9,num_steps=1000)",
            "nes": "nes(max_queries=10000)",
        },
        num_estimation=10_000,
    ),
}


def sized(size: Size) -> Size:
    """A size with what the flags change."""
    failures.need("sklearn", "array_record", "importlib_resources")
    return size._replace(
        scale=flags.SCALE.value or size.scale,
        recipe=image_corpora.recipe_of(size.recipe),
        num_points=flags.NUM_POINTS.value or size.num_points,
    )
