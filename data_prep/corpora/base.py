"""Corpora: labelled utterances in three splits, loaded one by one.

An utterance holds its id, label, speaker and a `load` function that returns the wave.
Listing a corpus therefore reads no audio, and `len(corpus.utterances("test"))` is its
size. Utterances can be loaded in any order or thread. A bad file makes one `load` fail
(`UnreadableAudio`), and the caller may skip it.

A builder function fills a `Corpus` with one tuple of utterances per split. `load` may
decode a file (`functools.partial(clips.decode, path)`) or synthesise one
(`functools.partial(speak, voice, sentence)`); it must return the same wave each time.
"""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32

from advjax.runtime.paths import user_path
from advjax.runtime.text import printable
from data_prep.clips import UnreadableAudio as UnreadableAudio
from data_prep.corpora.files import entries

SPLITS = ("train", "validation", "test")
SAMPLE_RATE_HZ = 16_000  # default rate of all waves of a corpus

Item = TypeVar("Item")


class Utterance(NamedTuple):
    """One labelled recording that is not loaded yet.

    `id` is unique within the corpus, over all its splits. `label` indexes the corpus's
    `labels`. `load()` returns mono float32 in [-1, 1] at the target rate, or raises
    `UnreadableAudio`. `verified` is True if a person has checked the label. `seconds`
    is its length by its header, None if unknown.
    """

    id: str
    label: int
    speaker: str
    load: Callable[[], Float32[np.ndarray, "time"]]
    verified: bool = True
    seconds: float | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Corpus:
    """Labelled utterances in three splits; no utterance is in two of them.

    Attributes:
        name: of the corpus.
        labels: names of the classes.
        splits: utterances by split, each in a fixed order.
        whole: True if an utterance is one example from its beginning, as the makers of
            the corpus cut it. Otherwise examples are cut from its active part.
        left_out: ids of recordings in no split, with the reason.
        caveat: sentence that belongs beside every accuracy measured on the corpus,
            because of its splits. Records keep it in their metadata, and reports print
            it.
        not_tested: labels without test clips by design.
        notes: sentences on files of its folder that are ignored.
        found: sentences on its folder, to be said before any work.
        listing: what identifies the clips of a folder that may change, and a split that
            was made, as JSON. Records keep it in their metadata.
    """

    name: str
    labels: tuple[str, ...]
    splits: Mapping[str, tuple[Utterance, ...]]
    whole: bool = False
    left_out: Mapping[str, str] = dataclasses.field(default_factory=dict)
    caveat: str | None = None
    not_tested: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    found: tuple[str, ...] = ()
    listing: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Escape unprintable text, and refuse fewer than two labels.

        Raises:
            ValueError: the corpus has fewer than two classes.
        """
        if len(self.labels) < 2:
            only = printable(self.labels[0]) if self.labels else "none"
            raise ValueError(
                f"{self.name} has a single class ({only}), and every classifier of one "
                "class is always right: ask for two classes or more"
            )
        escaped = {
            "labels": tuple(map(printable, self.labels)),
            "splits": {
                split: tuple(map(_printable, each))
                for split, each in self.splits.items()
            },
            "left_out": {
                printable(name): printable(reason)
                for name, reason in self.left_out.items()
            },
        }
        for name, value in escaped.items():
            object.__setattr__(self, name, value)

    def utterances(self, split: str) -> Sequence[Utterance]:
        """Every utterance of `split`, in a fixed order."""
        check_split(split)
        return self.splits.get(split, ())


def _printable(utterance: Utterance) -> Utterance:
    """The utterance with printable names."""
    if utterance.id.isprintable() and utterance.speaker.isprintable():
        return utterance
    return utterance._replace(
        id=printable(utterance.id), speaker=printable(utterance.speaker)
    )


def check_split(split: str) -> None:
    """Raise ValueError if `split` is not one of `SPLITS`."""
    if split not in SPLITS:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(SPLITS)}")


def split_by_order(items: Sequence[Item], *, name: str) -> dict[str, tuple[Item, ...]]:
    """Split the items of one speaker into train, validation and test, in order.

    The first 80 % (rounded down) train and the rest tests (Deep Speaker's rule). The
    last tenth of the training part, at least one item if it has two, validates instead,
    so that model selection never sees the test items.

    Args:
        items: the speaker's utterances, in their permanent order.
        name: of the speaker, for the message.

    Raises:
        ValueError: fewer than two items, which leaves none for testing.
    """
    if len(items) < 2:
        raise ValueError(
            f"{name} has {len(items)} utterance(s), and a split needs at least two, "
            "one to train on and one to test on: add recordings of this speaker, or "
            "leave the speaker out of the list of speakers"
        )
    num_training = len(items) * 4 // 5
    train, validation = without_last_tenth(items[:num_training])
    return {
        "train": train,
        "validation": validation,
        "test": tuple(items[num_training:]),
    }


def without_last_tenth(
    items: Sequence[Item],
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """(training, validation), where the last tenth validates; one of two items."""
    num_validation = max(1, len(items) // 10) if len(items) >= 2 else 0
    num_training = len(items) - num_validation
    return tuple(items[:num_training]), tuple(items[num_training:])


def corpus_folder(
    corpus_dir: str | pathlib.Path, *, corpus: str, layout: str
) -> pathlib.Path:
    """Path of the folder of a downloaded corpus.

    Raises:
        ValueError: no folder was given.
        FileNotFoundError: there is no such folder; the message names the expected
            files.
    """
    if not str(corpus_dir):
        raise ValueError(
            f"{corpus} is not part of this package: download it and give its folder as "
            f"--corpus_dir=FOLDER (with files {layout} in it)"
        )
    folder = user_path(corpus_dir)
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "is not there"
        raise FileNotFoundError(
            f"no folder {printable(str(folder))} ({what}); --corpus_dir must be the "
            f"folder of {corpus}, with files {layout} below it"
        )
    entries(folder)
    return folder
