"""Presets of a task: a demonstration, a study on an accelerator, published sizes."""

import dataclasses
from collections.abc import Mapping
from typing import NamedTuple

from advjax.training import Recipe


class Preset(NamedTuple):
    """Sizes of everything that flags may leave out.

    Attributes:
        name: the value of --preset.
        duration: of certifying with new records and a new network, about.
        model: the network.
        crops: examples of a class in each split.
        recipe: of the training.
        num_selection: votes that choose the class of a certificate.
        num_estimation: votes that bound its probability.
        num_points: test examples.
    """

    name: str
    duration: str
    model: str
    crops: Mapping[str, int]
    recipe: Recipe
    num_selection: int
    num_estimation: int
    num_points: int


SMALL = Preset(
    name="small",
    duration="2 minutes on 2 cores",
    model="rescnn(width=8, dropout=0.2)",
    crops={"train": 150, "validation": 15, "test": 20},
    recipe=Recipe(
        num_steps=150,
        batch_size=64,
        learning_rate=2e-3,
        schedule="cosine",
        validate_every=30,
        stop_patience=0,
    ),
    num_selection=100,
    num_estimation=1000,
    num_points=30,
)
MEDIUM = SMALL._replace(
    name="medium",
    duration="a working day on 2 cores",
    model="rescnn(width=32)",
    crops={"train": 300, "validation": 30, "test": 50},
    recipe=dataclasses.replace(
        SMALL.recipe, num_steps=3_000, batch_size=96, validate_every=100
    ),
    num_estimation=10_000,
    num_points=100,
)
# Crops, epochs, batch, n0, n and points of O'Reilly (2020) and deep-speaker. Of ten
# speakers, 1,000 epochs; 921 speakers have 55,260 crops for validation, of which a part
# is enough to choose the best step.
PUBLICATION = MEDIUM._replace(
    name="publication",
    duration="weeks on 2 cores",
    model="rescnn(width=64)",
    crops={"train": 600, "validation": 60, "test": 100},
    recipe=Recipe(
        num_steps=62_000, batch_size=96, validate_every=None, num_validation=6_000
    ),
    num_selection=500,
    num_points=300,
)
PRESETS = {preset.name: preset for preset in (SMALL, MEDIUM, PUBLICATION)}


MOST_PASSES = 1_000
"""Over a set that is smaller than a batch; the publication's training has as many."""


def fitted(recipe: Recipe, num_examples: int) -> Recipe:
    """The recipe for a training set; another one only if it is less than a batch.

    A smaller set is one batch, and trains for at most `MOST_PASSES` steps.
    """
    if recipe.balanced or not 0 < num_examples < recipe.batch_size:
        return recipe
    num_steps = min(recipe.num_steps, MOST_PASSES)
    return dataclasses.replace(recipe, batch_size=num_examples, num_steps=num_steps)
