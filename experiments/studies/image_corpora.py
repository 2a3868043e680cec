"""Tasks on images of environmental sound, as in the papers of Esmaeilpour's group."""

import collections
import dataclasses
import functools
import pathlib
from typing import Any

from advjax import catalog
from advjax.representations import FRONT_ENDS
from advjax.training import Recipe
from data_prep.corpora.esc50 import COLUMNS as ESC50_COLUMNS
from data_prep.corpora.esc50 import TABLE as ESC50_TABLE
from data_prep.corpora.tables import read_table
from data_prep.corpora.urbansound8k import COLUMNS as URBANSOUND8K_COLUMNS
from data_prep.corpora.urbansound8k import TABLE as URBANSOUND8K_TABLE
from experiments import flags
from experiments.lab.task import Task

# The sample rates that the papers of the group use, and the length of a clip.
CORPORA = {
    "esc10": {"sample_rate_hz": 8_000, "seconds": 5.0},
    "esc50": {"sample_rate_hz": 8_000, "seconds": 5.0},
    "urbansound8k": {"sample_rate_hz": 16_000, "seconds": 4.0},
}
TITLES = {"esc10": "ESC-10", "esc50": "ESC-50", "urbansound8k": "UrbanSound8K"}
NUM_CLASSES = {"esc10": 10, "esc50": 50, "urbansound8k": 10}
"""Of the whole corpus, by its source."""
_SUBSETS = {"esc10": ("esc50", "esc10=True,")}
"""Part of another corpus: its name in `data_prep`, and its option there."""


def folders() -> dict[str, str]:
    """The folder of each corpus that a flag names.

    Raises:
        ValueError: no flag names one.
    """
    given = {"esc50": flags.ESC50_DIR, "urbansound8k": flags.URBANSOUND8K_DIR}
    found = {name: flag.value for name, flag in given.items() if flag.value}
    if not found:
        raise ValueError("give --esc50_dir=FOLDER, --urbansound8k_dir=FOLDER, or both")
    return found


def folder_of(corpus: str) -> str:
    """The folder of a corpus, or of the one that it is part of."""
    return folders()[_SUBSETS.get(corpus, (corpus,))[0]]


LEAST_CLIPS = 5
"""Of each class in a fold that tests or validates; our choice. ESC-50 has 8, and parts
of a corpus may have a fold with one."""


def clips_at_hand(corpus: str) -> dict[int, collections.Counter[str]]:
    """The number of clips of each class in each official fold, by the corpus's table.

    Raises:
        FileNotFoundError: the folder has no such table.
    """
    return _clips_of(corpus, pathlib.Path(folder_of(corpus)))


@functools.cache  # every cell of a study asks for its folds
def _clips_of(corpus: str, folder: pathlib.Path) -> dict[int, collections.Counter[str]]:
    """`clips_at_hand` of the corpus in a folder."""
    name, table, columns = "category", ESC50_TABLE, ESC50_COLUMNS
    if corpus == "urbansound8k":
        name, table, columns = "class", URBANSOUND8K_TABLE, URBANSOUND8K_COLUMNS
    found: dict[int, collections.Counter[str]] = {}
    for row in read_table(folder / table, columns):
        if corpus != "esc10" or row["esc10"]:
            found.setdefault(row["fold"], collections.Counter())[row[name]] += 1
    return found


def num_classes_at_hand(corpus: str) -> int:
    """The number of classes with clips."""
    return len(set().union(*clips_at_hand(corpus).values()))


def whole_folds(corpus: str) -> list[int]:
    """The official folds with at least `LEAST_CLIPS` of every class at hand, rising."""
    found = clips_at_hand(corpus)
    every = set().union(*found.values())
    return sorted(
        fold
        for fold, clips in found.items()
        if all(clips[name] >= LEAST_CLIPS for name in every)
    )


def fold_names() -> list[str]:
    """The official folds to test on, such as "fold1"; the first one by default.

    Raises:
        ValueError: a fold that is no number.
    """
    return [f"fold{number}" for number in fold_numbers() or [1]]


def fold_numbers() -> list[int]:
    """The official folds that --folds names, none by default.

    Raises:
        ValueError: a fold that is no number.
    """
    given = flags.FOLDS.value or []
    for text in given:
        if not text.strip().isdigit():
            raise ValueError(f"--folds: {text!r} is no number of a fold")
    return [int(text) for text in given]


def short_recipe(num_steps: int, validate_every: int) -> Recipe:
    """The recipe of a training on a cosine schedule, without early stopping."""
    return Recipe(
        num_steps=num_steps,
        batch_size=32,
        schedule="cosine",
        validate_every=validate_every,
        stop_patience=0,
    )


def recipe_of(recipe: Recipe) -> Recipe:
    """A recipe with the changes of the flags."""
    given = {"num_steps": flags.NUM_STEPS.value, "batch_size": flags.BATCH_SIZE.value}
    return dataclasses.replace(recipe, **{k: v for k, v in given.items() if v})


def task(
    corpus: str,
    input: str,
    *,
    fold: str,
    scale: float,
    options: str = "",
    **settings: Any,
) -> Task:
    """The task of a network on images of a corpus.

    Args:
        corpus: one of `CORPORA`.
        input: the image, a choice from `FRONT_ENDS` without options.
        fold: to test on, such as "fold1".
        scale: divides the sides of the images.
        options: further options of the corpus, each with a comma behind it.
        **settings: of the `Task`.
    """
    sizes = {**CORPORA[corpus], "scale": scale}.items()
    features = f"{input}({','.join(f'{name}={value!r}' for name, value in sizes)})"
    shift = None if flags.PITCH_SHIFT.value == "none" else flags.PITCH_SHIFT.value
    name, more = _SUBSETS.get(corpus, (corpus, ""))
    more += options
    return Task(
        home=pathlib.Path(flags.HOME.value),
        corpus=f"{name}(fold={fold.removeprefix('fold')},{more}pitch_shift={shift!r})",
        corpus_dir=folder_of(corpus),
        features=features,
        at=catalog.pick(features, FRONT_ENDS).name,
        seed=flags.SEED.value,
        **settings,
    )
