"""Sizes of the study on sound events, and the flags that change them."""

import dataclasses
from typing import NamedTuple

from advjax.training import Recipe
from experiments import flags


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        width_share: of the published networks' channels.
        recipe: of every training.
        num_clips: attacked without a target.
        max_seconds: of a clip that is attacked.
        num_pair_classes: every ordered pair of so many classes is attacked.
        clips_per_class: for each pair.
        searches: of Carlini-Wagner and L-BFGS.
        steps: of Carlini-Wagner, in one search.
        lbfgs_steps: in one search.
        num_slots: clips attacked at once.
    """

    width_share: float
    recipe: Recipe
    num_clips: int
    max_seconds: float
    num_pair_classes: int
    clips_per_class: int
    searches: int
    steps: int
    lbfgs_steps: int
    num_slots: int


PRESETS = {
    # Few clips are learnt in few steps, at four times the published rate; the rate
    # falls as over the publication's 40 epochs.
    "small": Size(
        width_share=1 / 4,
        recipe=Recipe(
            num_steps=300,
            batch_size=32,
            learning_rate=2e-3,
            schedule="staircase",
            decay_every=15,
            weight_decay=0.0,
            validate_every=50,
            stop_patience=0,
            balanced=True,
        ),
        num_clips=20,
        max_seconds=4.0,
        num_pair_classes=4,
        clips_per_class=1,
        searches=2,
        steps=200,
        lbfgs_steps=100,
        num_slots=4,
    ),
    "medium": Size(
        width_share=1 / 2,
        recipe=Recipe(
            num_steps=1_500,
            batch_size=64,
            learning_rate=1e-3,
            schedule="staircase",
            decay_every=75,
            weight_decay=0.0,
            validate_every=100,
            stop_patience=0,
            balanced=True,
        ),
        num_clips=80,
        max_seconds=10.0,
        num_pair_classes=5,
        clips_per_class=2,
        searches=2,
        steps=500,
        lbfgs_steps=150,
        num_slots=16,
    ),
    # 40 epochs of about 20,000 chunks in batches of 2 x 128; 6 clips of each of 41
    # classes.
    "publication": Size(
        width_share=1.0,
        recipe=Recipe(
            num_steps=6_240,
            batch_size=256,
            learning_rate=5e-4,
            schedule="staircase",
            decay_every=312,
            weight_decay=0.0,
            validate_every=156,
            stop_patience=0,
            balanced=True,
        ),
        num_clips=246,
        max_seconds=30.0,
        num_pair_classes=6,
        clips_per_class=6,
        searches=2,
        steps=1000,
        lbfgs_steps=200,
        num_slots=32,
    ),
}


def sized(size: Size) -> Size:
    """A size with what the flags change."""
    steps, batch = flags.NUM_STEPS.value, flags.BATCH_SIZE.value
    recipe = size.recipe
    if steps:
        # As many cuts of the rate, however long the training is.
        every = max(1, recipe.decay_every * steps // recipe.num_steps)
        recipe = dataclasses.replace(recipe, num_steps=steps, decay_every=every)
    if batch:
        recipe = dataclasses.replace(recipe, batch_size=batch)
    return size._replace(
        recipe=recipe,
        num_clips=flags.NUM_POINTS.value or size.num_clips,
        max_seconds=flags.MAX_SECONDS.value or size.max_seconds,
        width_share=flags.WIDTH_SHARE.value or size.width_share,
        steps=flags.CW_STEPS.value or size.steps,
    )
