"""Predictions of networks on each other's adversarial examples, and after transforms.

`answers/NETWORK.tsv` has a line for each answer of a network: to a clip as it is, to an
example made on itself or on another network, and to clips and its own examples behind
each transform.
"""

import concurrent.futures
import dataclasses
import functools
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog, evaluation
from advjax.metrics.shares import Share
from advjax.runtime.progress import Progress
from advjax.transforms import SUITE, TRANSFORMS
from experiments.lab import cached_rows
from experiments.lab.clips import padded_length, padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.examples import Examples, Wave, is_complete
from experiments.studies.sound_events.jobs import ClipJob
from experiments.studies.sound_events.systems import SAMPLE_RATE_HZ

POOLED = ("deepfool", "carlini_wagner")
"""The attacks whose examples the publication's table of transfer pools."""
CLEAN, UNCHANGED = "clean", "none"


class Answer(NamedTuple):
    """One line.

    Attributes:
        source: the network that the example was made on, or "clean".
        attack: how it was made, or "clean".
        transform: what it went through before, or "none".
        id: the clip's.
        answer: the class.
    """

    source: str
    attack: str
    transform: str
    id: str
    answer: int


@dataclasses.dataclass(frozen=True)
class Answers(Step):
    """All predictions of one network, on the examples of all networks.

    Attributes:
        folders: of the cells whose examples it is asked about, below `cells`.
        transforms: whether clips and the network's own examples are also transformed.
    """

    folders: Sequence[str]
    transforms: bool

    def given(self, job: Job) -> Any:
        """The examples that are there."""
        return {
            f"{made.source}/{made.attack}": cached_rows.digest_of(
                [made.made_by, *made.ids]
            )
            for made in self._examples(job)
        }

    def run(self, job: Job) -> None:
        """Predict everything, unless the same is kept already."""
        system, judge, made = job.resolve(), job.task.kind, self._examples(job)
        clips, classifier = system.clean_jobs(), system.classifier
        names = [UNCHANGED, *(SUITE if self.transforms else ())]
        asked = [classifier.digest(), *names, *(clip.id for clip in clips)]
        for examples in made:
            asked += [examples.source, examples.made_by, *examples.ids]
        digest = cached_rows.digest_of(asked)
        file = job.out / "answers" / f"{judge}.tsv"
        if cached_rows.read(file, Answer, digest) is not None:
            return
        lengths = {clip.id: padded_length(clip.sound) for clip in clips}
        groups: dict[int, list[tuple[Answer, Callable[[], Wave]]]] = {}
        for row, make in _wanted(judge, clips, made, names):
            groups.setdefault(lengths[row.id.partition(">")[0]], []).append((row, make))
        logits_fn, answers = classifier.logits_fn("waveform"), []
        count = sum(map(len, groups.values()))
        with (
            Progress(f"answers of {judge}", total=count, unit="waves") as line,
            # Codecs take most of the time, and let other threads run.
            concurrent.futures.ThreadPoolExecutor() as pool,
        ):
            for group in groups.values():
                for start in range(0, len(group), 16):
                    part = group[start : start + 16]
                    waves = np.stack(list(pool.map(_transformed, part)))
                    logits = evaluation.logits_of_batch(logits_fn, waves, batch_size=16)
                    tops = zip(part, logits.argmax(axis=1), strict=True)
                    answers += [row._replace(answer=int(top)) for (row, _), top in tops]
                    line.advance(len(part))
        cached_rows.write(file, answers, digest)

    def _examples(self, job: Job) -> list[Examples]:
        folders = [job.out / "cells" / name for name in self.folders]
        return [Examples.of(folder) for folder in folders if is_complete(folder)]


def _wanted(
    judge: str, jobs: Sequence[ClipJob], made: Sequence[Examples], names: Sequence[str]
) -> Iterator[tuple[Answer, Callable[[], Wave]]]:
    """Each answer that is wanted, and what gives its wave before the transform."""
    for name in names:
        for job in jobs:
            make = functools.partial(padded_wave, job.sound.audio)
            yield Answer(CLEAN, CLEAN, name, job.id, -1), make
        for examples in made:
            if name == UNCHANGED or examples.source == judge:
                for id in examples.ids:
                    make = functools.partial(examples.wave, id)
                    yield Answer(examples.source, examples.attack, name, id, -1), make


def _transformed(pair: tuple[Answer, Callable[[], Wave]]) -> Wave:
    row, make = pair
    wave = make()
    if row.transform == UNCHANGED:
        return wave
    # From the names alone, as all randomness of a clip: the same in every run.
    seeds = [zlib.crc32(text.encode()) for text in (row.transform, row.id)]
    transform = catalog.pick(row.transform, TRANSFORMS)
    return transform(wave, SAMPLE_RATE_HZ, np.random.default_rng(seeds))


def transfer_table(
    answers: Mapping[str, Sequence[Answer]], labels: Mapping[str, int]
) -> dict[tuple[str, str], Share]:
    """By (network tested, network made on): examples that move it, of all that could.

    An example moves a network that answers otherwise than to the clean clip. Clips that
    it gets wrong before the attack do not count.

    Args:
        answers: by network.
        labels: of the clips, by id.
    """
    found = {}
    for judge, rows in answers.items():
        clean = _clean(rows)
        for source in answers:
            moved = [
                row.answer != clean[row.id]
                for row in rows
                if row.source == source
                and row.attack in POOLED
                and row.transform == UNCHANGED
                and clean[row.id] == labels.get(row.id)
            ]
            found[judge, source] = Share(sum(moved), len(moved))
    return found


class Survival(NamedTuple):
    """The effect of a transform, pooled over networks.

    Attributes:
        returned: by attack, examples that get the clean clip's answer again.
        kept: clean clips that keep their answer.
    """

    returned: dict[str, Share]
    kept: Share


def survival_table(
    answers: Mapping[str, Sequence[Answer]], attacks: Sequence[str]
) -> dict[str, Survival]:
    """By transform, what becomes of the networks' own examples and of clean clips."""
    hits: dict[tuple[str, str], list[bool]] = {}
    for judge, rows in answers.items():
        clean = _clean(rows)
        for row in rows:
            if row.source in (CLEAN, judge):
                again = row.answer == clean[row.id.partition(">")[0]]
                hits.setdefault((row.transform, row.attack), []).append(again)

    def share(transform: str, attack: str) -> Share:
        found = hits.get((transform, attack), [])
        return Share(sum(found), len(found))

    return {
        name: Survival(
            {each: share(name, each) for each in attacks}, share(name, CLEAN)
        )
        for name in dict.fromkeys(name for name, _ in hits)
    }


def _clean(rows: Sequence[Answer]) -> dict[str, int]:
    """The answers to clips as they are, by their ids."""
    return {
        row.id: row.answer
        for row in rows
        if row.source == CLEAN and row.transform == UNCHANGED
    }
