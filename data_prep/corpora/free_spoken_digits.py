"""Free Spoken Digit Dataset: ten digits, few speakers, 8 kHz, about 0.5 s.

Layout: recordings/DIGIT_SPEAKER_INDEX.wav, where INDEX counts the takes of a digit by a
speaker. Takes are shorter than an example of 1.6 s, so each gives one example.

Source: Jackson et al., doi:10.5281/zenodo.1342401.
"""

import functools
import os
import pathlib
import re

from data_prep.clips import decode
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Utterance,
    corpus_folder,
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

LAYOUT = "recordings/DIGIT_SPEAKER_INDEX.wav"
STEM = re.compile(r"([0-9])_(.+)_([0-9]+)", re.DOTALL)
NUM_TEST_TAKES = 5  # official split: takes 0 to 4 of every digit and speaker
TASKS = ("speaker", "digit")


def free_spoken_digits(
    corpus_dir: str | pathlib.Path = "",
    *,
    task: str = "speaker",
    sample_rate_hz: int = SAMPLE_RATE_HZ,
) -> Corpus:
    """Takes in a Free Spoken Digit folder, in the official split.

    Takes 0 to 4 test and the others train. The last tenth of the training takes of each
    digit and speaker, at least one of two, validates instead. Only the folder is read,
    no audio.

    Args:
        corpus_dir: folder of the data set, or its `recordings` folder.
        task: meaning of a label, "speaker" or "digit".
        sample_rate_hz: of the waves.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no takes, an unknown task, or a class without training or test
            takes.
    """
    if task not in TASKS:
        raise ValueError(f"no task {task!r}; choose {' or '.join(TASKS)}")
    root = corpus_folder(corpus_dir, corpus="the Free Spoken Digits", layout=LAYOUT)
    folder = root / "recordings" if (root / "recordings").is_dir() else root
    takes, others = _takes(folder)
    if not takes:
        raise ValueError(
            f"{root} holds no takes: files must be named {LAYOUT}. {contents(folder)}"
        )
    labels = tuple(sorted({take[TASKS.index(task)] for take in takes}))
    by_series: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for speaker, digit, index, path in takes:
        by_series.setdefault((speaker, digit), []).append((index, path))

    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for (speaker, digit), series in sorted(by_series.items()):
        label = labels.index(speaker if task == "speaker" else digit)
        test = [take for take in series if take[0] < NUM_TEST_TAKES]
        train, validation = without_last_tenth(series[len(test) :])
        for split, part in zip(SPLITS, (train, validation, test), strict=True):
            splits[split] += [
                Utterance(
                    pathlib.Path(path).stem,
                    label,
                    speaker,
                    functools.partial(decode, path, sample_rate_hz),
                )
                for _, path in part
            ]
    for split in ("train", "test"):
        lacking = set(range(len(labels))) - {each.label for each in splits[split]}
        if lacking:
            names = ", ".join(labels[label] for label in sorted(lacking))
            raise ValueError(
                f"{task} {names} has no {split} takes below {root}. Takes 0 to "
                f"{NUM_TEST_TAKES - 1} test and later ones train: add the missing ones"
            )
    return Corpus(
        name="free_spoken_digits",
        labels=labels,
        splits={split: tuple(utterances) for split, utterances in splits.items()},
        notes=(f"left out: {some(others, 'file')} not named {LAYOUT}, or there before",)
        if others
        else (),
    )


def _takes(
    folder: pathlib.Path,
) -> tuple[list[tuple[str, str, int, str]], list[str]]:
    """(speaker, digit, index, path) of every take in a folder, in that order.

    The second list has the names of audio files that are no takes, or repeat one.
    """
    takes: dict[tuple[str, str, int], str] = {}
    others = []
    names = next(files_below(folder))[1]
    names.sort(key=lambda name: (name.lower().endswith(AUDIO_SUFFIXES[3:]), name))
    for name in names:
        match = STEM.fullmatch(os.path.splitext(name)[0])
        if match and is_clip(name):
            take = (match[2], match[1], int(match[3]))
            if take not in takes:
                takes[take] = str(folder / name)
                continue
        if is_clip(name) or looks_like_clip(name):
            others.append(name)
    return sorted((*take, path) for take, path in takes.items()), others
