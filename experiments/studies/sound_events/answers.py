"""Predictions of networks on each other's adversarial examples, and after transforms.

`answers/NETWORK.tsv` has a line for each prediction of a network: on clips, on examples
made on itself or on another network, and on clips and its own examples after each
transform.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax import catalog, evaluation
from advjax.metrics.clustered import ClusteredShare, clustered_share
from advjax.padding import stack
from advjax.runtime.progress import Progress
from advjax.transforms import SUITE, TRANSFORMS
from experiments.lab import cached_rows
from experiments.lab.clips import in_buckets, padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.examples import ClipRun, Wave, is_complete, read
from experiments.studies.sound_events.jobs import ClipJob
from experiments.studies.sound_events.systems import SAMPLE_RATE_HZ

POOLED = ("deepfool", "carlini_wagner")
"""The attacks whose examples the publication's table of transfer pools."""
CLEAN, UNCHANGED = "clean", "none"


class Answer(NamedTuple):
    """One prediction.

    Attributes:
        source: the network that the example was made on, or "clean".
        attack: name of the attack, or "clean".
        transform: applied before the prediction, or "none".
        id: of the job.
        answer: the predicted class.
    """

    source: str
    attack: str
    transform: str
    id: str
    answer: int

    @property
    def clip(self) -> str:
        """The id of the clip."""
        return self.id.partition(">")[0]


Wanted = tuple[Answer, Callable[[], Wave]]
"""A prediction to make, and its wave before the transform."""


@dataclasses.dataclass(frozen=True)
class Answers(Step):
    """All predictions of one network, on the examples of all networks.

    Attributes:
        folders: of the cells with the examples, below `cells`.
        transforms: whether clips and the network's own examples are also transformed.
    """

    folders: Sequence[str]
    transforms: bool

    def given(self, job: Job) -> Any:
        """The examples that exist."""
        return {
            f"{run.source}/{run.attack}": cached_rows.digest_of(
                [json.dumps(run.settings, sort_keys=True), *run.ids]
            )
            for run in self._runs(job)
        }

    def run(self, job: Job) -> None:
        """Predict everything, unless the file has it."""
        system, judge, runs = job.resolve(), job.task.kind, self._runs(job)
        clips, classifier = system.clean_jobs(), system.classifier
        names = [UNCHANGED, *(SUITE if self.transforms else ())]
        decided_by = [classifier.digest(), *names, *(clip.id for clip in clips)]
        for run in runs:
            settings = json.dumps(run.settings, sort_keys=True)
            decided_by += [run.source, settings, *run.ids]
        digest = cached_rows.digest_of(decided_by)
        file = job.out / "answers" / f"{judge}.tsv"
        if cached_rows.read(file, Answer, digest) is not None:
            return
        sounds = {clip.id: clip.sound for clip in clips}
        groups = in_buckets(
            (sounds[wanted[0].clip], wanted)
            for wanted in _wanted(judge, clips, runs, names)
        )
        logits_fn, answers = classifier.logits_fn("waveform"), []
        count = sum(len(group) for _, group in groups)
        with (
            Progress(f"answers of {judge}", total=count, unit="waves") as line,
            # Codecs take most of the time, and let other threads run.
            concurrent.futures.ThreadPoolExecutor() as pool,
        ):
            parts = ((n, part) for n, group in groups for part in _sixteens(group))
            for pad_to, part in parts:
                waves = stack(list(pool.map(_transformed, part)), pad_to)
                logits = evaluation.logits_of_batch(logits_fn, waves, batch_size=16)
                tops = zip(part, logits.argmax(axis=1), strict=True)
                answers += [row._replace(answer=int(top)) for (row, _), top in tops]
                line.advance(len(part))
        cached_rows.write(file, answers, digest)

    def _runs(self, job: Job) -> list[ClipRun]:
        folders = [job.out / "cells" / name for name in self.folders]
        return [read(folder) for folder in folders if is_complete(folder)]


def _sixteens(group: Sequence[Wanted]) -> Iterator[Sequence[Wanted]]:
    return (group[start : start + 16] for start in range(0, len(group), 16))


def _wanted(
    judge: str, jobs: Sequence[ClipJob], runs: Sequence[ClipRun], names: Sequence[str]
) -> Iterator[Wanted]:
    for name in names:
        for job in jobs:
            make = functools.partial(padded_wave, job.sound.audio)
            yield Answer(CLEAN, CLEAN, name, job.id, -1), make
        for run in runs:
            if name == UNCHANGED or run.source == judge:
                for id in run.ids:
                    make = functools.partial(run.wave, id)
                    yield Answer(run.source, run.attack, name, id, -1), make


def _transformed(wanted: Wanted) -> Wave:
    row, make = wanted
    wave = make()
    if row.transform == UNCHANGED:
        return wave
    # From the names alone, as all randomness of a clip: the same in every run.
    seeds = [zlib.crc32(text.encode()) for text in (row.transform, row.id)]
    transform = catalog.pick(row.transform, TRANSFORMS)
    return transform(wave, SAMPLE_RATE_HZ, np.random.default_rng(seeds))


def transfer_shares(
    answers: Mapping[str, Sequence[Answer]],
    labels: Mapping[str, int],
    recordings: Mapping[str, str],
) -> dict[tuple[str, str], ClusteredShare]:
    """Examples that move a network, by (network tested, network made on).

    An example moves a network that predicts another class than on the clean clip. Clips
    that it misclassifies before the attack do not count.

    Args:
        answers: by network.
        labels: of the clips, by id.
        recordings: likewise; a clip that is not there is one of its own.
    """
    found = {}
    for judge, source in itertools.product(answers, answers):
        clean = _clean(answers[judge])
        rows = [
            row
            for row in answers[judge]
            if (row.source, row.transform) == (source, UNCHANGED)
            and row.attack in POOLED
            and clean[row.id] == labels.get(row.id)
        ]
        moved = np.asarray([row.answer != clean[row.id] for row in rows], bool)
        clusters = [recordings.get(row.id, row.id) for row in rows]
        found[judge, source] = clustered_share([moved], clusters)
    return found


def survival_shares(
    answers: Mapping[str, Sequence[Answer]], recordings: Mapping[str, str]
) -> dict[tuple[str, str], ClusteredShare]:
    """Waves that get the clean clip's prediction, by (transform, attack).

    The waves are each network's own examples, and clean clips under the attack "clean".

    Args:
        answers: by network.
        recordings: of the clips, by id; a clip that is not there is one of its own.
    """
    hits: dict[tuple[str, str], tuple[list[bool], list[str]]] = {}
    for judge, rows in answers.items():
        clean = _clean(rows)
        for row in rows:
            if row.source in (CLEAN, judge):
                same, of = hits.setdefault((row.transform, row.attack), ([], []))
                same.append(row.answer == clean[row.clip])
                of.append(recordings.get(row.clip, row.clip))
    return {
        key: clustered_share([np.asarray(same)], of) for key, (same, of) in hits.items()
    }


def _clean(rows: Sequence[Answer]) -> dict[str, int]:
    """The predictions on the clips themselves, by id."""
    return {
        row.id: row.answer
        for row in rows
        if row.source == CLEAN and row.transform == UNCHANGED
    }
