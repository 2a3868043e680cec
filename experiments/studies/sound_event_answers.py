"""What networks answer to each other's adversarial examples, and after transforms.

`answers/NETWORK.tsv` has a line for each answer of a network: to a clip as it is, to an
example made on itself or on another network, and to clips and its own examples behind
each transform.
"""

import concurrent.futures
import functools
import pathlib
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32

from advjax import catalog, evaluation
from advjax.classifier import Classifier
from advjax.metrics.shares import Share
from advjax.runtime.progress import Progress
from advjax.transforms import SUITE, TRANSFORMS
from experiments.lab import cached_rows
from experiments.lab.adversarial_examples import file_name
from experiments.lab.clips import padded_length, padded_wave
from experiments.studies.sound_event_jobs import Job
from experiments.studies.sound_event_models import SAMPLE_RATE_HZ

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


class Examples(NamedTuple):
    """The adversarial waves of one network and attack.

    Attributes:
        source: the network.
        attack: the attack.
        folder: of one file for each job.
        ids: the jobs that succeeded.
        made_by: whatever decides the waves, as text.
    """

    source: str
    attack: str
    folder: pathlib.Path
    ids: Sequence[str]
    made_by: str

    def wave(self, id: str) -> Float32[np.ndarray, "time"]:
        """One adversarial wave.

        Raises:
            FileNotFoundError: it is not on this machine.
        """
        file = self.folder / f"{file_name(id)}.npy"
        if not file.exists():
            raise FileNotFoundError(
                f"no {file}: the rows of {self.source}/{self.attack} are there without "
                "their waves; remove the cell's folder to make both again"
            )
        return np.load(file, allow_pickle=False)


Wave = Float32[np.ndarray, "time"]


def answers_of(
    judge: str,
    load: Callable[[str], Classifier],
    jobs: Sequence[Job],
    made: Sequence[Examples],
    file: pathlib.Path,
    *,
    transforms: bool,
) -> list[Answer]:
    """All answers of one network, read from `file` or found and written there.

    Args:
        judge: the network that answers.
        load: gives the classifier of that name.
        jobs: the clean clips.
        made: the examples of all networks.
        file: where the answers are kept.
        transforms: whether clips and the network's own examples are also transformed.
    """
    names = [UNCHANGED, *(SUITE if transforms else ())]
    classifier = load(judge)
    asked = [classifier.digest(), *names, *(job.id for job in jobs)]
    for examples in made:
        asked += [examples.source, examples.made_by, *examples.ids]
    digest = cached_rows.digest_of(asked)
    if (found := cached_rows.read(file, Answer, digest)) is not None:
        return found
    wanted = _wanted(judge, jobs, made, names)
    logits_fn = classifier.logits_fn("waveform")
    count, answers = sum(map(len, wanted)), []
    with (
        Progress(f"answers of {judge}", total=count, unit="waves") as line,
        # Codecs take most of the time, and let other threads run.
        concurrent.futures.ThreadPoolExecutor() as pool,
    ):
        for group in wanted:
            for start in range(0, len(group), 16):
                part = group[start : start + 16]
                waves = np.stack(list(pool.map(_transformed, part)))
                logits = evaluation.logits_of_batch(logits_fn, waves, batch_size=16)
                answers += [
                    row._replace(answer=int(top))
                    for (row, _), top in zip(part, logits.argmax(axis=1), strict=True)
                ]
                line.advance(len(part))
    cached_rows.write(file, answers, digest)
    return answers


def _wanted(
    judge: str, jobs: Sequence[Job], made: Sequence[Examples], names: Sequence[str]
) -> list[list[tuple[Answer, Callable[[], Wave]]]]:
    """Each answer that is wanted, and what gives its wave; by the waves' length."""
    lengths = {job.id: padded_length(job.sound) for job in jobs}
    groups: dict[int, list] = {}
    for row, make in _each(judge, jobs, made, names):
        length = lengths[row.id.partition(">")[0]]
        groups.setdefault(length, []).append((row, make))
    return list(groups.values())


def _each(
    judge: str, jobs: Sequence[Job], made: Sequence[Examples], names: Sequence[str]
) -> Iterator[tuple[Answer, Callable[[], Wave]]]:
    """Each answer that is wanted, and what gives its wave before the transform."""
    for name in names:
        for job in jobs:
            make = functools.partial(padded_wave, job.sound.audio)
            yield Answer(CLEAN, CLEAN, name, job.id, -1), make
        for examples in made:
            own = examples.source == judge
            if name != UNCHANGED and not own:
                continue
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
        clean = {
            row.id: row.answer
            for row in rows
            if row.source == CLEAN and row.transform == UNCHANGED
        }
        for source in answers:
            moved = [
                row.answer != clean[row.id]
                for row in rows
                if row.source == source
                and row.attack in POOLED
                and row.transform == UNCHANGED
                and clean[row.id] == labels[row.id]
            ]
            found[judge, source] = Share(sum(moved), len(moved))
    return found


class Survival(NamedTuple):
    """What a transform does, pooled over networks.

    Attributes:
        returned: by attack, examples that get the clean clip's answer again, and all.
        kept: clean clips that keep their answer, and all.
    """

    returned: dict[str, tuple[int, int]]
    kept: tuple[int, int]


def survival_table(
    answers: Mapping[str, Sequence[Answer]], attacks: Sequence[str]
) -> dict[str, Survival]:
    """By transform, what becomes of the networks' own examples and of clean clips."""
    hits: dict[tuple[str, str], list[bool]] = {}
    for judge, rows in answers.items():
        clean = {
            row.id: row.answer
            for row in rows
            if row.source == CLEAN and row.transform == UNCHANGED
        }
        for row in rows:
            if row.source in (CLEAN, judge):
                again = row.answer == clean[row.id.partition(">")[0]]
                hits.setdefault((row.transform, row.attack), []).append(again)
    return {
        name: Survival(
            {
                attack: (
                    sum(hits.get((name, attack), [])),
                    len(hits.get((name, attack), [])),
                )
                for attack in attacks
            },
            (sum(hits[name, CLEAN]), len(hits[name, CLEAN])),
        )
        for name in dict.fromkeys(name for name, _ in hits)
    }
