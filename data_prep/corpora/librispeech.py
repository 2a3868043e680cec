"""LibriSpeech: read English speech, labelled by speaker.

Layout: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac, in every subset and in
Mini LibriSpeech. The publication's 921 speakers are train-clean-360.

Source: Panayotov et al. 2015, ICASSP; openslr.org, SLR12 and SLR31.
"""

import functools
import itertools
import os
import pathlib
import re
from collections.abc import Callable, Sequence

from data_prep.clips import decode
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Item,
    Utterance,
    corpus_folder,
    split_by_order,
    without_last_tenth,
)
from data_prep.corpora.files import (
    AUDIO_SUFFIXES,
    contents,
    files_below,
    is_clip,
    looks_like_clip,
    some,
)

SAME_SESSION = (
    "test speech shares the recording session of training, so that accuracy is "
    "optimistic: a network with .875 on its own test split had .62 on the same "
    "speakers in another chapter"
)
"""Caveat of the split by utterance."""

OTHER_CHAPTERS = (
    "{tested} of {total} speakers are tested, each on its last chapter, which neither "
    "trains nor validates: {names}. {others}"
)
"""Caveat of the split by chapter."""

SPLIT_BY = ("utterance", "chapter", "enrolment")
NUM_ENROLLED = 5
LAYOUT = "SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac"
STEM = re.compile(r"([0-9]+)-([0-9]+)-([0-9]+)")


def librispeech(
    corpus_dir: str | pathlib.Path = "",
    *,
    subsets: str | Sequence[str] | None = None,
    speakers: int | str | Sequence[int | str] | None = None,
    split: str = "utterance",
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Speakers below a LibriSpeech folder; labels are in order of speaker number.

    Split by utterance: a speaker's utterances, in order of chapter and number, go 80/20
    to training and test, and a tenth of the training ones to validation
    (`split_by_order`). Test and training then share a recording session, as the caveat
    states.

    Split by chapter: every speaker trains, and the last chapter of a speaker with
    several only tests (`split_by_chapter`). The caveat names the speakers who are
    tested and the others.

    Split for enrolment: the first five utterances of a speaker train, all others test,
    and none validates. It is for `ge2e`, whose speakers are enrolled and not trained.

    An utterance in two subsets (Mini LibriSpeech repeats some of train-clean-100)
    counts once. Only folders are read, no audio.

    Args:
        corpus_dir: folder of the subsets, or of one subset.
        subsets: names such as "train-clean-360"; all in the folder by default.
        speakers: numbers such as 118; all in the folder by default.
        split: "utterance", "chapter" or "enrolment".
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no utterances, an unknown subset, speaker or split, a speaker with
            too few utterances, or a split by chapter where no speaker has two.
    """
    if split not in SPLIT_BY:
        raise ValueError(f"no split {split!r}; choose one of {', '.join(SPLIT_BY)}")
    root = corpus_folder(corpus_dir, corpus="LibriSpeech", layout=LAYOUT)
    found, others = _files(root)
    if not found:
        raise ValueError(
            f"{root} holds no utterances: files must be named {LAYOUT} below it. "
            + (f"There are {some(others, 'other file')}" if others else contents(root))
        )
    found = _choose(found, subsets, kind="subset", column=0)
    found = _choose(found, speakers, kind="speaker", column=1)
    by_speaker, repeated = _by_speaker(found)
    labels = tuple(sorted(by_speaker, key=int))
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    not_tested = []
    for label, speaker in enumerate(labels):
        ordered = sorted(by_speaker[speaker].items(), key=lambda item: item[1])
        if split == "chapter":
            parts = split_by_chapter(ordered, lambda item: item[1][0])
            if not parts["test"]:
                not_tested.append(speaker)
        elif split == "enrolment":
            parts = split_for_enrolment(ordered, speaker)
        else:
            parts = split_by_order(ordered, name=f"speaker {speaker} of LibriSpeech")
        for part_name, part in parts.items():
            splits[part_name] += [
                Utterance(
                    utterance_id,
                    label,
                    speaker,
                    functools.partial(decode, path, sample_rate_hz),
                )
                for utterance_id, (_, _, path) in part
            ]
    if len(not_tested) == len(labels):
        raise ValueError(
            "split='chapter' tests on the last chapter of speakers with several, and "
            f"none of {', '.join(labels)} has two chapters here: add their other "
            "chapters, or use split='utterance'"
        )
    return Corpus(
        name="librispeech",
        labels=labels,
        splits={name: tuple(utterances) for name, utterances in splits.items()},
        caveat=_caveat(labels, not_tested) if split == "chapter" else SAME_SESSION,
        not_tested=tuple(not_tested),
        notes=_notes(others, repeated),
    )


_File = tuple[str, str, int, int, int, str]
"""(subset, speaker, chapter, number, kind of file, path)."""
_Utterances = dict[str, tuple[int, int, str]]
"""(chapter, number, path) by id."""


def _by_speaker(found: list[_File]) -> tuple[dict[str, _Utterances], list[str]]:
    """Utterances of each speaker, and the files that repeat an utterance."""
    by_speaker: dict[str, _Utterances] = {}
    repeated = []
    for _, speaker, chapter, number, _, path in found:
        name = os.path.basename(path)
        utterance_id = os.path.splitext(name)[0]
        utterances = by_speaker.setdefault(speaker, {})
        if utterance_id in utterances:
            repeated.append(name)
        utterances.setdefault(utterance_id, (chapter, number, path))
    return by_speaker, repeated


def _notes(others: list[str], repeated: list[str]) -> tuple[str, ...]:
    """Notes on the files that are ignored."""
    notes = []
    if others:
        what = some(others, "file")
        notes.append(f"left out: {what} not named {LAYOUT}, or of an unknown format")
    if repeated:
        what = some(repeated, "file")
        notes.append(f"left out: {what} of utterances that another file holds")
    return tuple(notes)


def split_by_chapter(
    items: Sequence[Item], chapter: Callable[[Item], int]
) -> dict[str, tuple[Item, ...]]:
    """Split the items of one speaker into train, validation and test, by chapter.

    The last of several chapters tests. Of three or more, the one before it validates. A
    speaker with fewer validates on the last tenth of the only training chapter, at
    least one of two items. A lone chapter leaves no test items.

    Args:
        items: the speaker's utterances, in the order of their chapters.
        chapter: returns the chapter of an item.
    """
    by_chapter = [tuple(part) for _, part in itertools.groupby(items, chapter)]
    test = by_chapter.pop() if len(by_chapter) > 1 else ()
    if len(by_chapter) > 1:
        validation = by_chapter.pop()
        train = tuple(itertools.chain(*by_chapter))
    else:
        train, validation = without_last_tenth(by_chapter[0])
    return {"train": train, "validation": validation, "test": test}


def split_for_enrolment(
    items: Sequence[Item], speaker: str
) -> dict[str, tuple[Item, ...]]:
    """Split the items of one speaker into five that enrol the speaker and the rest.

    Raises:
        ValueError: fewer than six items.
    """
    if len(items) <= NUM_ENROLLED:
        raise ValueError(
            f"speaker {speaker} of LibriSpeech has {len(items)} utterance(s), and "
            f"split='enrolment' needs at least {NUM_ENROLLED + 1}: leave the speaker "
            "out of the list of speakers"
        )
    return {
        "train": tuple(items[:NUM_ENROLLED]),
        "validation": (),
        "test": tuple(items[NUM_ENROLLED:]),
    }


def _caveat(labels: Sequence[str], not_tested: Sequence[str]) -> str:
    """Caveat of a split by chapter, with the speakers of both kinds."""
    tested = [label for label in labels if label not in set(not_tested)]
    others = f"Not tested, for want of a second chapter: {', '.join(not_tested)}."
    return OTHER_CHAPTERS.format(
        tested=len(tested),
        total=len(labels),
        names=", ".join(tested),
        others=others if not_tested else "None is left out.",
    )


def _files(root: pathlib.Path) -> tuple[list[_File], list[str]]:
    """Every utterance below `root`, and the names of other audio files."""
    found, others = [], []
    for folder, names in files_below(root.resolve()):
        # Once a folder: with 100,000 files the path arithmetic takes time.
        subset = os.path.basename(os.path.dirname(os.path.dirname(folder)))
        for name in names:
            stem, suffix = os.path.splitext(name)
            match = STEM.fullmatch(stem)
            if match and is_clip(name):
                speaker, chapter, number = match.groups()
                kind = AUDIO_SUFFIXES.index(suffix.lower())
                path = os.path.join(folder, name)
                found.append((subset, speaker, int(chapter), int(number), kind, path))
            elif is_clip(name) or looks_like_clip(name):
                others.append(name)
    return sorted(found), others


def _choose(
    found: list[_File],
    wanted: int | str | Sequence[int | str] | None,
    *,
    kind: str,
    column: int,
) -> list[_File]:
    """Files of the wanted subsets or speakers; all if `wanted` is None."""
    if wanted is None:
        return found
    names = [wanted] if isinstance(wanted, int | str) else wanted
    chosen = {str(name) for name in names}
    present = {str(file[column]) for file in found}
    if not chosen or chosen - present:
        missing = ", ".join(sorted(chosen - present)) or "(none was named)"
        listed = ", ".join(sorted(present)[:20]) + (" ..." if len(present) > 20 else "")
        raise ValueError(f"no {kind} {missing} here; there are {listed}")
    return [file for file in found if str(file[column]) in chosen]
