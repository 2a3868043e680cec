"""Heuristic defences of speakers' networks, under attacks that certificates also face.

Each system, a plain network or a smoothed one, is attacked at the waveform: by l2 PGD
at two signal-to-noise ratios and by the imperceptible attack, on the mean over its
noise where it is smoothed. Then clips and what the attacks made of them go through each
transform, and the system answers. The attacks do not know of the transforms.

Answers are kept, a file for each system and attack, under a digest of what decides
them.
"""

import dataclasses
import functools
import json
import pathlib
import zlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float32

from advjax import catalog, evaluation, smoothing
from advjax.attacks import expectation
from advjax.attacks.batches import default_slots
from advjax.metrics.distortion import radius_snr_db
from advjax.metrics.shares import Share
from advjax.reports import tables
from advjax.runtime.progress import Progress
from advjax.transforms import SMALL_ROOM, TRANSFORMS, Transform
from experiments.lab import attack, budgets, cached_rows
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points
from experiments.lab.task import System

NONE, MASKED = "none", "masked noise"
CHANGES = (
    NONE, "mp3(kbps=64)", "resample(rate_hz=8000)", "white_noise(snr_db=20)",
    SMALL_ROOM, MASKED,
)  # fmt: skip
NUM_VOTES = 100
"""Of a smoothed system's answer: enough to name a class that leads clearly."""
ALPHA = 1e-3


class Answer(NamedTuple):
    """One line: a system's answer to one clip behind one transform.

    Attributes:
        transform: one of `CHANGES`.
        id: the clip's.
        label: its speaker.
        answer: the class, or -1 for an abstention.
        snr_db: of what the attack added; inf for nothing.
    """

    transform: str
    id: str
    label: int
    answer: int
    snr_db: float


def columns(num_steps: int) -> dict[str, tuple[str | None, str | None]]:
    """Each column's attack and its budget; none for clean clips."""
    pgd = f"pgd(norm='l2', num_steps={num_steps}, stop='last')"
    return {
        "clean": (None, None),
        "PGD 40 dB": (pgd, "40dB"),
        "PGD 30 dB": (pgd, "30dB"),
        "imperceptible": (
            f"imperceptible(num_steps=({2 * num_steps}, {4 * num_steps}))",
            None,
        ),
    }


@dataclasses.dataclass(frozen=True)
class Heuristics(Step):
    """Answers of a system at the waveform behind every transform.

    Attributes:
        num_points: test clips.
        num_steps: of PGD; the imperceptible attack takes six times as many.
        num_draws: noisy copies in the mean that a step on a smoothed system sees; 0 for
            a system that is not smoothed.
    """

    num_points: int
    num_steps: int
    num_draws: int

    def run(self, job: Job) -> None:
        """Attack and ask what has no file of answers."""
        system = job.resolve()
        points = attacked_points(system, self.num_points)
        for column, (text, budget) in columns(self.num_steps).items():
            file = _file(job.out / "heuristics", job.cell["training"], column)
            _answers(system, points, text, budget, num_draws=self.num_draws, file=file)


def table(folder: pathlib.Path) -> tables.Table | None:
    """A line for each system and transform: right answers without and with attack.

    Args:
        folder: of a folder of answers for each system.
    """
    names, lines, counts = list(columns(0)), [], set()
    for system in sorted(folder.glob("*/"), key=lambda path: path.name != "plain"):
        files = [_file(folder, system.name, name) for name in names]
        if not all(file.exists() for file in files):
            continue
        by_column = [cached_rows.read(file, Answer) for file in files]
        for change in CHANGES:
            cells = []
            for answers in by_column:
                right = [a.answer == a.label for a in answers if a.transform == change]
                cells.append(tables.share_text(Share(sum(right), len(right))))
                counts.add(len(right))
            lines.append([system.name, change, *cells])
        heard = [f"{np.median([a.snr_db for a in each]):.1f}" for each in by_column]
        lines.append([system.name, "SNR in dB, median", "", *heard[1:]])
    if not lines:
        return None
    clips = " or ".join(map(str, sorted(counts)))
    return tables.Table(
        ["training", "behind", *names],
        lines,
        [
            f"accuracy on {clips} clips; all but plain are smoothed by the noise "
            f"they are trained on and answer by {NUM_VOTES} votes, abstentions wrong; "
            "attacks know of the noise, not of what clips go through afterwards",
            tables.INTERVAL_NOTE,
        ],
    )


def _file(folder: pathlib.Path, system: str, column: str) -> pathlib.Path:
    return folder / system / f"{column.replace(' ', '_')}.tsv"


def _answers(
    system: System,
    points: Sequence[evaluation.Point],
    attack: str | None,
    budget: str | None,
    *,
    num_draws: int,
    file: pathlib.Path,
) -> list[Answer]:
    """The kept answers, or new ones; without draws the network is not smoothed."""
    decided_by = (
        system.classifier.digest(), str(attack), str(budget), json.dumps(CHANGES),
        f"{num_draws} {system.task.sigma} {NUM_VOTES} {system.task.seed}",
        json.dumps([point.id for point in points]),
    )  # fmt: skip
    digest = cached_rows.digest_of(decided_by)
    if (kept := cached_rows.read(file, Answer, digest)) is not None:
        return kept
    waves = {point.id: point.x for point in points}
    if attack is not None:
        waves = _attacked(system, points, attack, budget, num_draws=num_draws)
    answer_of = _answer_of(system, smoothed=num_draws > 0)
    rate, found = system.representation.sample_rate_hz, []
    title = f"{file.parent.name} {attack or 'clean'}"
    with Progress(title, total=len(CHANGES) * len(points), unit="answers") as line:
        for change in CHANGES:
            transform = _transform(change, rate)
            for point in points:
                wave = waves[point.id]
                seed = [system.task.seed, zlib.crc32(f"{change} {point.id}".encode())]
                changed = transform(wave, rate, np.random.default_rng(seed))
                answer = answer_of(changed, point.id)
                added = radius_snr_db(point.x, float(np.linalg.norm(wave - point.x)))
                found.append(Answer(change, point.id, point.label, answer, added))
                line.advance()
    cached_rows.write(file, found, digest)
    return found


def _attacked(
    system: System,
    points: Sequence[evaluation.Point],
    text: str,
    budget: str | None,
    *,
    num_draws: int,
) -> dict[str, Float32[np.ndarray, "time"]]:
    """What the attack made of each clip; the clip itself where it found nothing."""
    built, sizes = attack.build(system, text), None
    if built.fixed_budget:
        sizes = [budgets.size(budget, p.x, built.norm) for p in points]
    if num_draws:
        built = expectation(built, sample=system.noise.sample, num_samples=num_draws)
    found = {}
    with Progress(text, total=len(points), unit="clips") as line:
        for row, x_adv in evaluation.attack_points(
            built,
            system.logits_fn(),
            points,
            jax.random.fold_in(jax.random.key(system.task.seed), 2),
            budgets=sizes,
            num_slots=max(1, default_slots() // num_draws) if num_draws else None,
            resume=evaluation.AttackResume(on_round=lambda: line.advance(0)),
        ):
            found[row.id] = x_adv
            line.advance()
    return found


def _answer_of(system: System, *, smoothed: bool) -> Callable[[np.ndarray, str], int]:
    """(wave, id) -> class: the network's answer, or that of its vote."""
    logits_fn = system.logits_fn()
    if not smoothed:
        return lambda wave, id: int(
            evaluation.logits_of_batch(logits_fn, wave[None], batch_size=1).argmax()
        )
    key = jax.random.fold_in(jax.random.key(system.task.seed), 3)
    return lambda wave, id: smoothing.predict(
        logits_fn, wave, evaluation.example_key(key, id), noise=system.noise,
        num_samples=NUM_VOTES, alpha=ALPHA,
    ).prediction  # fmt: skip


def _transform(change: str, sample_rate_hz: int) -> Transform:
    """What a clip goes through; one draw where it is noise."""
    if change == NONE:
        return lambda wave, rate, rng: wave
    if change != MASKED:
        return catalog.pick(change, TRANSFORMS)
    sample = _masked(sample_rate_hz)
    return lambda wave, rate, rng: np.asarray(
        sample(jax.random.key(rng.integers(2**31)), wave)
    )


@functools.cache
def _masked(sample_rate_hz: int):
    return jax.jit(smoothing.masked(sample_rate_hz=sample_rate_hz).sample)
