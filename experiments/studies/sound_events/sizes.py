"""Sizes of the study of sound events, and the flags that change them."""

import dataclasses
from typing import NamedTuple

from advjax.training import Recipe
from experiments import flags


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        width_share: of the published networks' channels.
        recipe: of every training.
        remove_silence: from training clips.
        num_clips: clips of untargeted attacks.
        max_seconds: longest clip that is attacked.
        num_pair_classes: classes whose ordered pairs targeted attacks take, in a corpus
            without those of the publication.
        clips_per_pair: clips of each pair.
        shared_clips: the pairs of a label take the same clips.
        searches: of Carlini-Wagner and L-BFGS.
        steps: of Carlini-Wagner, in one search.
        lbfgs_steps: of L-BFGS, in one search.
        num_slots: clips attacked at once.
    """

    width_share: float
    recipe: Recipe
    remove_silence: bool
    num_clips: int
    max_seconds: float
    num_pair_classes: int
    clips_per_pair: int
    shared_clips: bool
    searches: int
    steps: int
    lbfgs_steps: int
    num_slots: int


RATE_CUTS = 20
"""Of the learning rate in any training: the publication's, two epochs of 40 apart."""


def _recipe(
    num_steps: int, *, batch_size: int, learning_rate: float, validate_every: int
) -> Recipe:
    return Recipe(
        num_steps=num_steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="staircase",
        decay_every=num_steps // RATE_CUTS,
        weight_decay=0.0,
        validate_every=validate_every,
        stop_patience=0,
        balanced=True,
        num_averaged=4,  # the epochs that Iqbal et al. average
    )


PRESETS = {
    # Few clips are learnt in few steps, at four times the published rate. Silence and
    # padding stay, as whole clips have them: VGG13 then knows 32 of 33 validation clips
    # of ESC-10, and 29 without them.
    "small": Size(
        width_share=1 / 4,
        recipe=_recipe(600, batch_size=32, learning_rate=2e-3, validate_every=30),
        remove_silence=False,
        num_clips=30,
        max_seconds=5.0,
        num_pair_classes=6,
        clips_per_pair=1,
        shared_clips=False,
        searches=2,
        steps=1000,
        lbfgs_steps=200,
        num_slots=4,
    ),
    "medium": Size(
        width_share=1 / 2,
        recipe=_recipe(1_500, batch_size=64, learning_rate=1e-3, validate_every=100),
        remove_silence=False,
        num_clips=80,
        max_seconds=10.0,
        num_pair_classes=6,
        clips_per_pair=2,
        shared_clips=False,
        searches=2,
        steps=1000,
        lbfgs_steps=200,
        num_slots=16,
    ),
    # 40 epochs of about 20,000 chunks in batches of 2 x 128; 6 clips of each of 41
    # classes.
    "publication": Size(
        width_share=1.0,
        recipe=_recipe(6_240, batch_size=256, learning_rate=5e-4, validate_every=156),
        remove_silence=True,
        num_clips=246,
        max_seconds=30.0,
        num_pair_classes=6,
        clips_per_pair=6,
        shared_clips=True,
        searches=2,
        steps=1000,
        lbfgs_steps=200,
        num_slots=32,
    ),
}


def sized(size: Size) -> Size:
    """A size with what the flags change."""
    num_steps = flags.NUM_STEPS.value or size.recipe.num_steps
    removed = flags.REMOVE_SILENCE.value
    return size._replace(
        recipe=dataclasses.replace(
            size.recipe,
            num_steps=num_steps,
            decay_every=max(1, num_steps // RATE_CUTS),
            batch_size=flags.BATCH_SIZE.value or size.recipe.batch_size,
        ),
        remove_silence=size.remove_silence if removed is None else removed,
        num_clips=flags.NUM_POINTS.value or size.num_clips,
        max_seconds=flags.MAX_SECONDS.value or size.max_seconds,
        width_share=flags.WIDTH_SHARE.value or size.width_share,
        steps=flags.CW_STEPS.value or size.steps,
    )
