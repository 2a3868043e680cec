"""Splits by group: all clips of a speaker or a recording lie on one side.

A network looks better than it is where it is tested on a speaker or a recording that it
was trained on.
"""

import collections
import os
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from advjax.runtime.text import printable
from data_prep.corpora.files import some
from data_prep.corpora.listing import Clip

SHARES = {"test": 0.2, "validation": 0.1}
"""Shares of each class: of all of its clips, and of those that do not test."""


def split_by_group(
    labels: Sequence[str],
    groups: Sequence[Hashable],
    *,
    seed: int,
    shares: Mapping[str, float],
) -> list[str]:
    """Split of each clip; a group is in one split, and the same seed gives the same.

    Groups are taken in a random order, until a split has its share of every class.
    Each split takes at least one group of a class, and leaves at least one of each of
    its classes to the next: of two groups one tests and one trains, of three one
    validates. Clips that no split takes train.

    Args:
        labels: class of each clip.
        groups: group of each clip, equal for clips that belong together.
        seed: of the order.
        shares: of the clips that are left, by split, in this order.
    """
    # In the order of the clips, so that names of groups do not matter.
    counts: dict[Hashable, collections.Counter[str]] = {}
    for label, group in zip(labels, groups, strict=True):
        counts.setdefault(group, collections.Counter())[label] += 1
    names = list(counts)
    order = [names[i] for i in np.random.default_rng(seed).permutation(len(names))]
    split_of: dict[Hashable, str] = {}
    for split, share in shares.items():
        left = [group for group in order if group not in split_of]
        for group in _take(left, counts, share):
            split_of[group] = split
    return [split_of.get(group, "train") for group in groups]


def _take(
    order: Sequence[Hashable],
    counts: Mapping[Hashable, collections.Counter[str]],
    share: float,
) -> list[Hashable]:
    """Groups with a share of every class, which leave a group of each."""
    total, remaining = collections.Counter[str](), collections.Counter[str]()
    of_class: dict[str, list[Hashable]] = {}
    for group in order:
        total.update(counts[group])
        remaining.update(counts[group].keys())
        for label in counts[group]:
            of_class.setdefault(label, []).append(group)
    have = collections.Counter[str]()
    taken: dict[Hashable, None] = {}
    # Classes of few groups first: others have a choice.
    for label in sorted(of_class, key=lambda label: (len(of_class[label]), label)):
        for group in of_class[label]:
            if have[label] >= share * total[label]:
                break
            if group in taken or any(remaining[each] < 2 for each in counts[group]):
                continue
            taken[group] = None
            have.update(counts[group])
            remaining.subtract(counts[group].keys())
    return list(taken)


class Split(NamedTuple):
    """The split of each clip.

    Attributes:
        parts: names in `SPLITS`.
        sentence: on the origin of the split and its groups.
        made: the splits that were made.
    """

    parts: list[str]
    sentence: str
    made: tuple[str, ...] = ()


def split_clips(
    clips: Sequence[Clip], *, group: str | None, seed: int, speakers: str = "speaker"
) -> Split:
    """The split that clips have; what it lacks is made of its training clips.

    Clips that are for tests alone stay so.

    Args:
        clips: in a fixed order.
        group: "speaker", "file" or "clip"; None for the speaker where each class has
            two or more, otherwise the file.
        seed: of a split that is made.
        speakers: what speakers are, in words.

    Raises:
        ValueError: some clips have a split and others none, there are no speakers to
            group by, or a class has a single group.
    """
    known = any(clip.speaker is not None for clip in clips)
    _check_given(clips, group, known)
    given = {clip.split for clip in clips}
    ways = (group,) if group else ("speaker", "file") if known else ("file",)
    words = {"speaker": speakers, "file": "file", "clip": "clip"}
    parts = [clip.split or "train" for clip in clips]
    made = tuple(name for name in SHARES if name not in given)
    if not made or not given & {None, "train"}:
        groups = groups_of(clips, ways[0])
        return Split(parts, f"split as given, {_sides(groups, parts, words[ways[0]])}")
    pool = [place for place, part in enumerate(parts) if part == "train"]
    labels, reason = [clips[place].label for place in pool], ""
    if not known and group is None:
        reason = "; speakers are not known"
    for by in ways:
        groups = groups_of(clips, by)
        drawn = split_by_group(
            labels,
            [groups[place] for place in pool],
            seed=seed,
            shares={name: SHARES[name] for name in made},
        )
        if not (lacking := _lacking(labels, drawn, made)):
            for place, name in zip(pool, drawn, strict=True):
                parts[place] = name
            origin = f"split by {words[by]}, seed {seed}"
            if None not in given:
                origin = f"split as given, but {' and '.join(made)} made of training "
                origin += f"clips by {words[by]}, seed {seed}"
            sides = _sides(groups, parts, words[by])
            return Split(parts, f"{origin}: {sides}{reason}", made)
        alone = all(clip.speaker == clip.label for clip in clips)
        lone = f"{some(lacking, 'label')} of a single {words[by]}"
        reason = f"; {'the labels are the speakers' if alone else lone}"
    word = words[ways[-1]]
    advice = f"add recordings of another {word}"
    if ways == ("speaker",):
        advice += ", or leave group='speaker' out"
    elif any(clip.start_s or clip.end_s is not None for clip in clips):
        advice += ", or give folder(group='clip') to share files between the splits"
    raise ValueError(
        f"{some(lacking, 'label')} cannot be split: one {word} trains and another one "
        f"tests; {advice}"
    )


def _check_given(clips: Sequence[Clip], group: str | None, known: bool) -> None:
    """Refuse splits of some clips alone, and groups of unknown speakers."""
    without = [clip.id for clip in clips if clip.split is None]
    if 0 < len(without) < len(clips):
        raise ValueError(
            f"{printable(without[0])} has no split, and other clips have one: give all "
            "clips a split, or none"
        )
    if group == "speaker" and not known:
        raise ValueError(
            "group='speaker' needs speakers: a column of that name, a folder for each "
            "below its class, or utt2spk"
        )


def _lacking(labels: Sequence[str], parts: Sequence[str], made: Sequence[str]) -> list:
    """Classes without training clips, or without the test clips that are made."""
    there = set(zip(parts, labels, strict=True))
    sides = ["train"] + ["test"] * ("test" in made)
    return sorted({x for x in labels if any((side, x) not in there for side in sides)})


def _sides(groups: Sequence[Hashable], parts: Sequence[str], word: str) -> str:
    """Words on the groups that train and also test."""
    sides: dict[Hashable, set[str]] = {}
    for group, part in zip(groups, parts, strict=True):
        sides.setdefault(group, set()).add(part)
    shared = sum({"train", "test"} <= each for each in sides.values())
    if not shared:
        return f"no {word} trains and also tests"
    return f"{shared} of {len(sides)} ({word}) train and also test"


def groups_of(clips: Sequence[Clip], by: str) -> list[str]:
    """Group of each clip: its speaker, its file without the suffix, or itself."""
    if by == "clip":
        return [clip.id for clip in clips]
    files = [os.path.splitext(real_path(clip.path))[0] for clip in clips]
    if by == "file":
        return files
    return [clip.speaker or file for clip, file in zip(clips, files, strict=True)]


def real_path(path: str) -> str:
    """The path, or the target of a symbolic link."""
    return os.path.realpath(path) if os.path.islink(path) else path
