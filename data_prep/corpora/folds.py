"""Corpora with a table of clips and official folds.

One fold tests, another validates, and the rest trains. Clips are never shuffled: the
makers of such corpora put all clips of a recording into one fold. Where folds differ
much in size, a share of the recordings of all other folds validates instead. A network
looks better than it is if it is tested on another clip of a training recording. The
makers missed some: five recordings of UrbanSound8K have clips of one class in one fold
and clips of another class in another. Clips of a tested recording are therefore left
out of the other folds; the test fold stays as published.

Clips are used whole (`Corpus.whole`). Training clips in other pitches are
optional (`data_prep.pitch_shift`).
"""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from advjax.runtime.text import printable
from data_prep.clips import UnreadableAudio, decode
from data_prep.corpora.base import SPLITS, Corpus, Utterance
from data_prep.corpora.groups import split_by_group
from data_prep.pitch_shift import FACTORS, check_way, read_shifted

# Share of all clips. UrbanSound8K's official folds lose up to 1 %; shuffled ones most.
MOST_LEFT_OUT = 0.1


class FoldClip(NamedTuple):
    """One row of a corpus's table.

    `target` is the number of the class in the corpus and `category` its name.
    `recording` is the source of the clip. `verified` is True if a person has checked
    the class.
    """

    path: pathlib.Path
    fold: int
    target: int
    category: str
    recording: str
    verified: bool = True


class Portions(NamedTuple):
    """Shares of the clips beside the test fold, by recording.

    Recordings are drawn class by class in one random order, as `split_by_group` does.

    Attributes:
        validation: of the clips beside the test fold, for validation; None validates a
            fold.
        train: of the clips that would train, those that do.
        seed: of the order.
    """

    validation: float | None = None
    train: float = 1.0
    seed: int = 0


WHOLE_FOLDS = Portions()


def in_folds(
    clips: Sequence[FoldClip],
    *,
    name: str,
    table: pathlib.Path,
    fold: int,
    validation_fold: int | None,
    pitch_shift: str | None,
    sample_rate_hz: int,
    notes: tuple[str, ...] = (),
    portions: Portions = WHOLE_FOLDS,
) -> Corpus:
    """Corpus of the clips of a table, split by fold.

    Labels are the classes that are present, in the order of their targets. An
    utterance's id is the name of its file, its speaker the recording. Clips whose
    recording is in another split too are in `left_out`.

    Args:
        clips: the rows to use.
        name: of the corpus.
        table: source of the rows, for messages.
        fold: for testing.
        validation_fold: for validation. None: the next fold that has clips of every
            class; the first fold follows the last.
        pitch_shift: None, or a name in `data_prep.pitch_shift.SHIFTS`, which adds each
            training clip in four other pitches, with ids such as `dog~x0.75`.
        sample_rate_hz: of the waves.
        notes: of the corpus.
        portions: shares of recordings for validation and for training.

    Raises:
        ValueError: no clips, fewer than two classes, a missing fold, one fold for two
            purposes, fewer than three folds, a class without training clips, two names
            for one class, a clip listed twice, folds that share more than a few
            recordings, or impossible portions.
    """
    if not clips:
        raise ValueError(f"{table} lists no clips to use")
    if pitch_shift is not None:
        check_way(pitch_shift)
    names = _class_names(clips, table)
    targets = sorted(names)
    _check_portions(portions, validation_fold)
    split_of = _split_of_folds(clips, fold, validation_fold, table)
    if portions.validation is not None:
        split_of = {f: "test" if f == fold else "train" for f in split_of}
    clips, left_out = _apart(clips, split_of, table)
    roles = _portioned([split_of[clip.fold] for clip in clips], clips, portions)
    splits: dict[str, list[Utterance]] = {split: [] for split in SPLITS}
    for clip, split in zip(clips, roles, strict=True):
        if split not in splits:
            continue
        read = functools.partial(_read, clip.path, table)
        utterance = Utterance(
            clip.path.stem,
            targets.index(clip.target),
            clip.recording,
            functools.partial(read, sample_rate_hz),
            clip.verified,
        )
        splits[split].append(utterance)
        # Clips for validation and testing stay as they were recorded.
        if pitch_shift is not None and split == "train":
            splits[split] += [
                utterance._replace(
                    id=f"{utterance.id}~x{factor:g}",
                    load=functools.partial(
                        read_shifted,
                        read,
                        factor,
                        way=pitch_shift,
                        sample_rate_hz=sample_rate_hz,
                    ),
                )
                for factor in FACTORS
            ]
    untrained = set(range(len(targets))) - {each.label for each in splits["train"]}
    if untrained:
        raise ValueError(
            f"no training clips of {', '.join(names[targets[i]] for i in untrained)} "
            f"in {table} with fold {fold} for testing: choose another fold or "
            "validation_fold"
        )
    return Corpus(
        name=name,
        labels=tuple(names[target] for target in targets),
        splits={split: tuple(utterances) for split, utterances in splits.items()},
        whole=True,
        left_out=left_out,
        notes=notes,
    )


def _read(
    path: pathlib.Path, table: pathlib.Path, sample_rate_hz: int
) -> Float32[np.ndarray, "time"]:
    """Decode a clip; the message about a missing file names the table."""
    if not path.is_file():
        raise UnreadableAudio(
            path, f"no such file, though {table} lists it: add it, or remove its row"
        )
    return decode(path, sample_rate_hz)


def _class_names(clips: Sequence[FoldClip], table: pathlib.Path) -> dict[int, str]:
    """Name of each target."""
    pairs = sorted({(clip.target, clip.category) for clip in clips})
    names = dict(pairs)
    if len(names) < len(pairs) or len(set(names.values())) < len(pairs):
        raise ValueError(
            f"{table} gives one class two names or two numbers: "
            + printable(", ".join(f"{target} {name}" for target, name in pairs))
        )
    return names


def _split_of_folds(
    clips: Sequence[FoldClip],
    fold: int,
    validation_fold: int | None,
    table: pathlib.Path,
) -> dict[int, str]:
    """Split of each fold."""
    classes: dict[int, set[int]] = {}
    for clip in clips:
        classes.setdefault(clip.fold, set()).add(clip.target)
    present = sorted(classes)
    for wanted in (fold, validation_fold):
        if wanted is not None and wanted not in classes:
            raise ValueError(
                f"no fold {wanted!r} in {table}; there are "
                f"{', '.join(map(str, present))}"
            )
    if len(present) < 3:
        raise ValueError(
            f"{table} has clips in {len(present)} folds only, and three are needed: "
            "to train, to validate and to test"
        )
    if fold == validation_fold:
        raise ValueError(
            f"fold {fold} cannot be for testing and for validation: choose another "
            f"validation_fold out of {', '.join(map(str, present))}"
        )
    if validation_fold is None:
        place = present.index(fold)
        others = present[place + 1 :] + present[:place]
        every_class = set().union(*classes.values())
        # Few clips of few classes would choose a network by chance.
        full = [each for each in others if classes[each] == every_class]
        validation_fold = (full or others)[0]
    roles = {fold: "test", validation_fold: "validation"}
    return {each: roles.get(each, "train") for each in present}


def _check_portions(portions: Portions, validation_fold: int | None) -> None:
    """Refuse shares outside of (0, 1), and two ways to validate."""
    share, train, _ = portions
    if share is not None and not 0 < share < 1:
        raise ValueError(f"validation_share={share}: give more than 0 and less than 1")
    if not 0 < train <= 1:
        raise ValueError(f"train_share={train}: give more than 0 and at most 1")
    if share is not None and validation_fold is not None:
        raise ValueError(
            f"validation_fold={validation_fold} and validation_share={share}: give one"
        )


def _portioned(
    splits: Sequence[str], clips: Sequence[FoldClip], portions: Portions
) -> list[str]:
    """Split of each clip after the portions; "" for a clip that is not used."""
    found = list(splits)

    def draw(name: str, share: float) -> list[int]:
        """Places of the training clips that are drawn, by recording."""
        places = [i for i, split in enumerate(found) if split == "train"]
        drawn = split_by_group(
            [clips[i].category for i in places],
            [clips[i].recording for i in places],
            seed=portions.seed,
            shares={name: share},
        )
        return [i for i, split in zip(places, drawn, strict=True) if split == name]

    if portions.validation is not None:
        for place in draw("validation", portions.validation):
            found[place] = "validation"
    if portions.train < 1:
        kept = set(draw("kept", portions.train))
        for place, split in enumerate(found):
            if split == "train" and place not in kept:
                found[place] = ""
    return found


def _apart(
    clips: Sequence[FoldClip], split_of: Mapping[int, str], table: pathlib.Path
) -> tuple[list[FoldClip], dict[str, str]]:
    """Clips whose recording is in one split, and the reason why others are left out.

    A shared recording stays in test before validation, and there before training.
    """
    stems: set[str] = set()
    folds: dict[tuple[str, str], int] = {}
    for clip in clips:
        if clip.path.stem in stems:
            raise ValueError(f"{table} lists {printable(clip.path.stem)} twice")
        stems.add(clip.path.stem)
        folds[clip.recording, split_of[clip.fold]] = clip.fold
    kept, left_out = [], {}
    for clip in clips:
        before = SPLITS[SPLITS.index(split_of[clip.fold]) + 1 :]
        taken = [split for split in before if (clip.recording, split) in folds]
        if taken:
            fold = folds[clip.recording, taken[-1]]
            left_out[clip.path.stem] = (
                f"its recording {clip.recording} is in fold {fold} too, for {taken[-1]}"
            )
        else:
            kept.append(clip)
    if len(left_out) > MOST_LEFT_OUT * len(clips):
        raise ValueError(
            f"{len(left_out)} of {len(clips)} clips in {table} have recordings that "
            f"other folds test or validate (first: {next(iter(left_out.items()))}): "
            "use the official folds, which keep the clips of a recording together"
        )
    return kept, left_out
