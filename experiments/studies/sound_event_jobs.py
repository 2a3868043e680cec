"""Which clips the study on sound events attacks, and how they are batched."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from advjax import evaluation
from experiments.studies.sound_event_models import Sound, padded_wave

WAVES = "x_adv"
"""The folder of adversarial waves in that of a cell."""


class Job(NamedTuple):
    """One clip and what is wanted of it.

    Attributes:
        id: the clip's; behind ">" the name of the class to reach.
        place: of the clip in its split.
        sound: the clip.
        target: the class to reach; -1 for none.
    """

    id: str
    place: int
    sound: Sound
    target: int = -1


def untargeted_jobs(sounds: Sequence[Sound], count: int) -> list[Job]:
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
    return [Job(sounds[i].id, i, sounds[i]) for i in chosen]


def targeted_jobs(
    sounds: Sequence[Sound],
    labels: Sequence[str],
    classes: Sequence[str],
    clips_per_class: int,
) -> list[Job]:
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
                        Job(f"{sound.id}>{goal}", place, sound, labels.index(goal))
                    )
    return jobs


class Bucket(NamedTuple):
    """Clips that are padded to one length and attacked by one program."""

    num_samples: int
    jobs: list[Job]


def buckets(jobs: Sequence[Job]) -> list[Bucket]:
    """Clips by the number of their chunks, the shortest first."""
    found: dict[int, list[Job]] = {}
    for job in jobs:
        found.setdefault(len(padded_wave(job.sound.audio)), []).append(job)
    return [Bucket(size, found[size]) for size in sorted(found)]


def padding_waste(jobs: Sequence[Job]) -> float:
    """The share of all attacked samples that are padding."""
    filled = sum(len(job.sound.audio) for job in jobs)
    return 1 - filled / sum(len(padded_wave(job.sound.audio)) for job in jobs)


def file_name(id: str) -> str:
    """A job's id as the name of a file."""
    return re.sub(r"[^\w.-]", "_", id)


def point_of(job: Job) -> evaluation.Point:
    """The job's clip, padded to whole chunks."""
    return evaluation.Point(
        job.place, job.id, padded_wave(job.sound.audio), job.sound.label
    )
