"""The clips that the study of sound events attacks."""

import collections
from collections.abc import Sequence
from typing import NamedTuple

from advjax import evaluation
from experiments.lab import clips
from experiments.lab.clips import Clip


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


def untargeted_jobs(sounds: Sequence[Clip], count: int) -> list[ClipJob]:
    """At most `count` clips, taken from the classes in turn."""
    turns, seen = [], collections.Counter()
    for place, sound in enumerate(sounds):
        turns.append((seen[sound.label], sound.label, place))
        seen[sound.label] += 1
    chosen = sorted(place for *_, place in sorted(turns)[:count])
    return [ClipJob(sounds[i].id, i, sounds[i]) for i in chosen]


def targeted_jobs(
    sounds: Sequence[Clip],
    labels: Sequence[str],
    classes: Sequence[str],
    clips_per_class: int,
) -> list[ClipJob]:
    """Every ordered pair of classes, on the first clips of the pair's first class.

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
    jobs = []
    for source in classes:
        places = [i for i, s in enumerate(sounds) if labels[s.label] == source]
        if not places:
            raise ValueError(
                f"--pair_classes: no clip of {source} that may be attacked: name "
                "another class, or allow longer ones with --max_seconds"
            )
        jobs += [
            ClipJob(f"{sounds[i].id}>{target}", i, sounds[i], labels.index(target))
            for i in places[:clips_per_class]
            for target in classes
            if target != source
        ]
    return jobs
