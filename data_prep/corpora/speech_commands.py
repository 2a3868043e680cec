"""Speech Commands: spoken words of 1 s, 16 kHz, of many speakers.

Layout: WORD/SPEAKER_nohash_TAKE.wav, with validation_list.txt and testing_list.txt in
versions 0.01 and 0.02. Folders that begin with `_`, such as _background_noise_, are no
words.

Source: Warden 2018, arXiv:1804.03209.
"""

import functools
import hashlib
import os
import pathlib
import re
from collections.abc import Sequence

from data_prep.clips import decode
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Utterance,
    corpus_folder,
)
from data_prep.corpora.files import (
    contents,
    files_below,
    is_clip,
    looks_like_clip,
    some,
)
from data_prep.corpora.tables import chosen_classes, text_of

LAYOUT = "WORD/SPEAKER_nohash_TAKE.wav"
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
NOT_HASHED = re.compile(r"_nohash_.*$")
MOST_CLIPS = 2**27 - 1  # of a word, in the official rule


def speech_commands(
    corpus_dir: str | pathlib.Path = "",
    *,
    classes: str | Sequence[str] | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Words in a Speech Commands folder, in the official split by speaker.

    The two lists of the folder decide; files in neither train. Without both lists the
    rule that made them decides (`official_split`). Labels are words in order of the
    alphabet. Only folders and lists are read, no audio.

    Args:
        corpus_dir: folder of the data set.
        classes: words such as "cat"; all in the folder by default.
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no words, an unknown word, or a single list of the two.
    """
    root = corpus_folder(corpus_dir, corpus="Speech Commands", layout=LAYOUT)
    found, others = _files(root)
    if not found:
        raise ValueError(
            f"{root} holds no words: files must be named {LAYOUT} below it. "
            f"{contents(root)}"
        )
    words = {word for word, _, _ in found}
    labels = tuple(sorted(chosen_classes(classes, words, where=f" in {root}")))
    listed = _lists(root)
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for word, name, path in found:
        if word not in labels:
            continue
        split = listed.get(f"{word}/{name}", "train")
        if not listed:
            split = official_split(name)
        splits[split].append(
            Utterance(
                f"{word}/{os.path.splitext(name)[0]}",
                labels.index(word),
                NOT_HASHED.sub("", name),
                functools.partial(decode, path, sample_rate_hz),
            )
        )
    absent = sorted(set(listed) - {f"{word}/{name}" for word, name, _ in found})
    notes = [f"left out: {some(others, 'file')} not named {LAYOUT}"] * bool(others)
    notes += [f"absent: {some(absent, 'file')} of the lists"] * bool(absent)
    return Corpus(
        name="speech_commands",
        labels=labels,
        splits={name: tuple(part) for name, part in splits.items()},
        whole=True,
        notes=tuple(notes),
    )


def official_split(name: str) -> str:
    """Split of a file by the hash of its speaker: 10 % validate and 10 % test.

    Args:
        name: of the file, without folders.

    Source: `which_set` in the README of the data set.
    """
    digest = hashlib.sha1(NOT_HASHED.sub("", name).encode()).hexdigest()
    percent = int(digest, 16) % (MOST_CLIPS + 1) * (100.0 / MOST_CLIPS)
    return "validation" if percent < 10 else "test" if percent < 20 else "train"


def _lists(root: pathlib.Path) -> dict[str, str]:
    """Split of each file in the two lists; empty without lists."""
    there = [name for name in LISTS.values() if (root / name).is_file()]
    if len(there) == 1:
        missing = next(name for name in LISTS.values() if name not in there)
        raise ValueError(
            f"{root} has {there[0]} and no {missing}: add it, or remove both to split "
            "by the official rule"
        )
    return {
        line.strip(): split
        for split, name in LISTS.items()
        if there
        for line in text_of(root / name).split("\n")
        if line.strip()
    }


def _files(root: pathlib.Path) -> tuple[list[tuple[str, str, str]], list[str]]:
    """(word, name, path) of every file of a word, and the names of other clips."""
    found, others = [], []
    for folder, names in files_below(root):
        word, *deeper = pathlib.Path(os.path.relpath(folder, root)).parts or ("",)
        if word.startswith((".", "_")):
            continue
        for name in names:
            if word and not deeper and is_clip(name) and NOT_HASHED.search(name):
                found.append((word, name, os.path.join(folder, name)))
            elif is_clip(name) or looks_like_clip(name):
                others.append(name)
    return found, others
