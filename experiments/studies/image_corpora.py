"""Images of environmental sound, as Esmaeilpour's group makes them, and their tasks."""

import dataclasses
import pathlib
from typing import Any

from advjax import catalog
from advjax.representations import FRONT_ENDS
from advjax.training import Recipe
from experiments import flags
from experiments.lab.task import Task

# The sample rates that the papers of the group use, and the length of a clip.
CORPORA = {
    "esc50": {"sample_rate_hz": 8_000, "seconds": 5.0},
    "urbansound8k": {"sample_rate_hz": 16_000, "seconds": 4.0},
}


def folders() -> dict[str, str]:
    """The folder of each corpus that was given.

    Raises:
        ValueError: none was.
    """
    given = {
        "esc50": flags.ESC50_DIR.value,
        "urbansound8k": flags.URBANSOUND8K_DIR.value,
    }
    found = {name: folder for name, folder in given.items() if folder}
    if not found:
        raise ValueError("give --esc50_dir=FOLDER, --urbansound8k_dir=FOLDER, or both")
    return found


def fold_names() -> list[str]:
    """The official folds to test on, as cells are called.

    Raises:
        ValueError: one is no number.
    """
    for text in flags.FOLDS.value:
        if not text.strip().isdigit():
            raise ValueError(f"--folds: {text!r} is no number of a fold")
    return [f"fold{int(text)}" for text in flags.FOLDS.value]


def short_recipe(num_steps: int, validate_every: int) -> Recipe:
    """A training on a cosine schedule, without early stopping."""
    return Recipe(
        num_steps=num_steps,
        batch_size=32,
        schedule="cosine",
        validate_every=validate_every,
        stop_patience=0,
    )


def recipe_of(recipe: Recipe) -> Recipe:
    """A recipe with what the flags change."""
    given = {"num_steps": flags.NUM_STEPS.value, "batch_size": flags.BATCH_SIZE.value}
    return dataclasses.replace(recipe, **{k: v for k, v in given.items() if v})


def task(corpus: str, input: str, *, fold: str, scale: float, **settings: Any) -> Task:
    """The task of a network on images of a corpus.

    Args:
        corpus: one of `CORPORA`.
        input: the image, a choice from `FRONT_ENDS` without options.
        fold: to test on, such as "fold1".
        scale: divides the sides of the images.
        **settings: of the `Task`.
    """
    options = {**CORPORA[corpus], "scale": scale}
    spelled = ",".join(f"{name}={value!r}" for name, value in options.items())
    features = f"{input}({spelled})"
    shift = None if flags.PITCH_SHIFT.value == "none" else flags.PITCH_SHIFT.value
    number = int(fold.removeprefix("fold"))
    return Task(
        home=pathlib.Path(flags.HOME.value),
        corpus=f"{corpus}(fold={number},pitch_shift={shift!r})",
        corpus_dir=folders()[corpus],
        features=features,
        at=catalog.pick(features, FRONT_ENDS).name,
        seed=flags.SEED.value,
        **settings,
    )
