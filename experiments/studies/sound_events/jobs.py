"""The clips that the study on sound events attacks."""

from collections.abc import Sequence
from typing import NamedTuple

from advjax import evaluation
from experiments.lab import clips
from experiments.lab.clips import Clip


class ClipJob(NamedTuple):
    """One clip and what is wanted of it.

    Attributes:
        id: the clip's; behind ">" the name of the class to reach.
        place: of the clip in its split.
        sound: the clip.
        target: the class to reach; -1 for none.
    """

    id: str
    place: int
    sound: Clip
    target: int = -1

    def point(self) -> evaluation.Point:
        """The clip, padded to whole chunks."""
        wave = clips.padded_wave(self.sound.audio)
        return evaluation.Point(self.place, self.id, wave, self.sound.label)


def untargeted_jobs(sounds: Sequence[Clip], count: int) -> list[ClipJob]:
    """At most `count` clips, in turn one of each class."""
    by_class: dict[int, list[int]] = {}
    for place, sound in enumerate(sounds):
        by_class.setdefault(sound.label, []).append(place)
    turns = [
        (turn, label, place)
        for label, places in by_class.items()
        for turn, place in enumerate(places)
    ]
    chosen = sorted(place for _, _, place in sorted(turns)[:count])
    return [ClipJob(sounds[i].id, i, sounds[i]) for i in chosen]


def targeted_jobs(
    sounds: Sequence[Clip],
    labels: Sequence[str],
    classes: Sequence[str],
    clips_per_class: int,
) -> list[ClipJob]:
    """Every ordered pair of classes, on the first clips of the class that is left.

    Raises:
        ValueError: a class that is not there or has no clip, fewer than two, or one
            twice: the class to reach would be the label.
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
        for place in places[:clips_per_class]:
            for goal in classes:
                if goal != source:
                    sound = sounds[place]
                    jobs.append(
                        ClipJob(f"{sound.id}>{goal}", place, sound, labels.index(goal))
                    )
    return jobs


def by_length(jobs: Sequence[ClipJob]) -> dict[int, list[ClipJob]]:
    """Jobs by the padded length of their clips, the shortest first."""
    return clips.by_length((job.sound, job) for job in jobs)
