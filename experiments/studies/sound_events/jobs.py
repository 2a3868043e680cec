"""The clips that the study of sound events attacks."""

import collections
import itertools
from collections.abc import Collection, Sequence
from typing import NamedTuple

import numpy as np

from advjax import evaluation
from experiments.lab import clips
from experiments.lab.clips import Clip
from experiments.studies.sound_events.published import PAIR_CLASSES


class ClipJob(NamedTuple):
    """A clip to attack.

    Attributes:
        id: of the clip; followed by ">" and the target's name for a targeted attack.
        place: of the clip among the clips that may be attacked.
        sound: the clip.
        target: the class to reach; -1 for none.
    """

    id: str
    place: int
    sound: Clip
    target: int = -1

    def point(self, pad_to: int | None = None) -> evaluation.Point:
        """The clip, padded to whole chunks; programs pad it to `pad_to` samples."""
        wave = clips.padded_wave(self.sound.audio)
        return evaluation.Point(
            self.place, self.id, wave, self.sound.label, pad_to=pad_to
        )


def drawn(sounds: Sequence[Clip], seed: int) -> list[int]:
    """The places of clips in random order, repeated recordings behind all others.

    Clips of one recording resemble each other, so that they say less than as many
    recordings do.
    """
    order = np.random.default_rng(seed).permutation(len(sounds)).tolist()
    seen, times = collections.Counter(), {}
    for place in order:
        key = sounds[place].label, sounds[place].recording or sounds[place].id
        times[place] = seen[key]
        seen[key] += 1
    return sorted(order, key=times.__getitem__)


def untargeted_jobs(
    sounds: Sequence[Clip], count: int, *, seed: int = 0
) -> list[ClipJob]:
    """At most `count` clips, drawn from the classes in turn."""
    turns, seen = [], collections.Counter()
    for place in drawn(sounds, seed):
        label = sounds[place].label
        turns.append((seen[label], label, place))
        seen[label] += 1
    chosen = sorted(place for *_, place in sorted(turns)[:count])
    return [ClipJob(sounds[i].id, i, sounds[i]) for i in chosen]


def pair_classes(
    labels: Sequence[str], present: Collection[int], count: int
) -> tuple[str, ...]:
    """The classes of targeted attacks: the publication's, where there are any.

    In another corpus they are drawn from those with clips, by a seed of their own: the
    classes alone decide the draw, so that all runs on a corpus share it.

    Args:
        labels: of the corpus.
        present: the classes with clips that may be attacked.
        count: number of classes of a draw.
    """
    names = [labels[place] for place in sorted(present)]
    if sum(name in names for name in PAIR_CLASSES) >= 2:
        return tuple(name for name in PAIR_CLASSES if name in names)
    order = np.random.default_rng(0).permutation(len(names))[:count]
    return tuple(names[place] for place in sorted(order))


def targeted_jobs(
    sounds: Sequence[Clip],
    labels: Sequence[str],
    classes: Sequence[str],
    clips_per_pair: int,
    *,
    shared: bool = False,
    seed: int = 0,
) -> list[ClipJob]:
    """Every ordered pair of classes, on clips drawn from the pair's first class.

    Args:
        sounds: the clips that may be attacked.
        labels: of the corpus.
        classes: the labels and targets.
        clips_per_pair: at most so many clips of each pair.
        shared: the pairs of a label take the same clips, as in the publication;
            otherwise each takes the next ones, as long as there are enough.
        seed: of the draw.

    Raises:
        ValueError: a class that does not exist or has no clip, fewer than two classes,
            or one twice.
    """
    if unknown := [name for name in classes if name not in labels]:
        raise ValueError(
            f"--pair_classes: no {', '.join(unknown)}; there are: {', '.join(labels)}"
        )
    if len(set(classes)) < max(2, len(classes)):
        raise ValueError(
            f"--pair_classes={','.join(classes)}: name at least two different classes; "
            "a clip cannot be led to its own label"
        )
    jobs, order = [], drawn(sounds, seed)
    for source in classes:
        places = [i for i in order if labels[sounds[i].label] == source]
        if not places:
            raise ValueError(
                f"--pair_classes: no clip of {source} that may be attacked: name "
                "another class, or allow longer ones with --max_seconds"
            )
        count, turns = min(clips_per_pair, len(places)), itertools.cycle(places)
        for target in classes:
            if target == source:
                continue
            chosen = places[:count] if shared else itertools.islice(turns, count)
            jobs += [
                ClipJob(f"{sounds[i].id}>{target}", i, sounds[i], labels.index(target))
                for i in chosen
            ]
    return jobs
