"""LibriSpeech: read English speech, labelled by speaker.

Layout: SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac. Every subset has it, and
so has Mini LibriSpeech. The publication's 921 speakers are train-clean-360.

Source: Panayotov et al. 2015, ICASSP; openslr.org, SLR12 and SLR31.
"""

import functools
import os
import pathlib
import re
from collections.abc import Sequence

from data_prep.clips import decode
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    ListedCorpus,
    Utterance,
    corpus_folder,
    split_by_order,
)

LAYOUT = "SUBSET/SPEAKER/CHAPTER/SPEAKER-CHAPTER-UTTERANCE.flac"
FILE_NAME = re.compile(r"(\d+)-(\d+)-(\d+)\.(?:flac|wav|ogg)")


def librispeech(
    corpus_dir: str | pathlib.Path = "",
    *,
    subsets: str | Sequence[str] | None = None,
    speakers: int | str | Sequence[int | str] | None = None,
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> ListedCorpus:
    """The speakers below a LibriSpeech folder; label = speaker, in order of number.

    The utterances of a speaker, in the order of chapter and number, split 80/20 into
    training and test, and a tenth of the training ones is kept for validation
    (`split_by_order`). An utterance that lies in two subsets (Mini LibriSpeech repeats
    some of train-clean-100) counts once. Only folders are read here, no audio.

    Args:
        corpus_dir: the folder with the subsets, or one subset's own folder.
        subsets: names such as "train-clean-360"; all that are there by default.
        speakers: numbers such as 118; all that are there by default.
        sample_rate_hz: of the waves that the utterances give.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no utterances below it, a subset or a speaker that is not there,
            a speaker with a single utterance.
    """
    root = corpus_folder(corpus_dir, corpus="LibriSpeech", layout=LAYOUT)
    found = _files(root)
    if not found:
        raise ValueError(
            f"{root} holds no utterances; expected files named {LAYOUT} below it"
        )
    found = _choose(found, subsets, kind="subset", column=0)
    found = _choose(found, speakers, kind="speaker", column=1)
    by_speaker: dict[str, dict[str, tuple[int, int, str]]] = {}
    for _, speaker, chapter, number, path in found:
        utterance_id = os.path.splitext(os.path.basename(path))[0]
        utterances = by_speaker.setdefault(speaker, {})
        utterances.setdefault(utterance_id, (chapter, number, path))

    labels = tuple(sorted(by_speaker, key=int))
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for label, speaker in enumerate(labels):
        ordered = sorted(by_speaker[speaker].items(), key=lambda item: item[1])
        parts = split_by_order(ordered, name=f"speaker {speaker} of LibriSpeech")
        for split, part in parts.items():
            splits[split] += [
                Utterance(
                    utterance_id,
                    label,
                    speaker,
                    functools.partial(decode, path, sample_rate_hz),
                )
                for utterance_id, (_, _, path) in part
            ]
    return ListedCorpus(
        name="librispeech",
        labels=labels,
        splits={split: tuple(utterances) for split, utterances in splits.items()},
    )


def _files(root: pathlib.Path) -> list[tuple[str, str, int, int, str]]:
    """(subset, speaker, chapter, number, path) of every utterance below `root`."""
    found = []
    for folder, _, names in os.walk(root.resolve()):
        matches = [match for name in names if (match := FILE_NAME.fullmatch(name))]
        # Named here once a folder: with 100,000 files the path arithmetic counts.
        subset = os.path.basename(os.path.dirname(os.path.dirname(folder)))
        for match in matches:
            speaker, chapter, number = match.groups()
            path = os.path.join(folder, match.group())
            found.append((subset, speaker, int(chapter), int(number), path))
    return sorted(found)


def _choose(
    found: list[tuple[str, str, int, int, str]],
    wanted: int | str | Sequence[int | str] | None,
    *,
    kind: str,
    column: int,
) -> list[tuple[str, str, int, int, str]]:
    """The files of the wanted subsets or speakers; all where `wanted` is None."""
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
