"""Heuristic defences of speakers' networks, under attacks that certificates also face.

Each system, a plain network or a smoothed one, is attacked at the waveform: by l2 PGD
at two signal-to-noise ratios and by the imperceptible attack, on the mean over its
noise where it is smoothed. Then clean clips and adversarial ones go through each
transform, and the system predicts their classes. The attacks do not know of the
transforms.

Predictions are kept, a file for each system and attack, under a digest of their
settings.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import zlib
from collections.abc import Callable, Mapping, Sequence
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
from experiments.lab import attack_requests, budgets, cached_rows
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points
from experiments.lab.task import System

NONE, MASKED = "none", "masked noise"
CHANGES = (
    NONE, "mp3(kbps=64)", "resample(rate_hz=8000)", "white_noise(snr_db=20)",
    SMALL_ROOM, MASKED,
)  # fmt: skip
NUM_VOTES, ALPHA = 100, 1e-3
"""Of a smoothed system's prediction: enough votes to name a class with a clear lead."""

Waves = Mapping[str, Float32[np.ndarray, "time"]]


class Answer(NamedTuple):
    """One line: a system's prediction on one clip behind one transform.

    Attributes:
        transform: one of `CHANGES`.
        id: the clip's.
        label: its speaker.
        answer: the predicted class, or -1 for an abstention.
        snr_db: of the attack's perturbation; inf without one.
    """

    transform: str
    id: str
    label: int
    answer: int
    snr_db: float


def columns(num_steps: int) -> dict[str, tuple[str | None, str | None]]:
    """Each column's attack and its budget; none for clean clips."""
    pgd = f"pgd(norm='l2', num_steps={num_steps}, stop='last')"
    heard = f"imperceptible(num_steps=({2 * num_steps}, {4 * num_steps}))"
    return {
        "clean": (None, None),
        "PGD 40 dB": (pgd, "40dB"),
        "PGD 30 dB": (pgd, "30dB"),
        "imperceptible": (heard, None),
    }


@dataclasses.dataclass(frozen=True)
class Heuristics(Step):
    """Predictions of a system at the waveform behind every transform.

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
        """Attack and predict where the file of an attack is missing."""
        system, name = job.resolve(), job.cell["training"]
        points = attacked_points(system, self.num_points)
        for column, (text, budget) in columns(self.num_steps).items():
            file = _file(job.out / "heuristics", name, column)
            decided_by = (
                system.classifier.digest(), str(text), str(budget), json.dumps(CHANGES),
                f"{self.num_draws} {system.task.sigma} {NUM_VOTES} {system.task.seed}",
                json.dumps([point.id for point in points]),
            )  # fmt: skip
            digest = cached_rows.digest_of(decided_by)
            if cached_rows.read(file, Answer, digest) is None:
                waves = {point.id: point.x for point in points}
                if text is not None:
                    waves = self._attack(system, points, text, budget)
                title = f"{name} {text or 'clean'}"
                cached_rows.write(
                    file, self._predict(system, points, waves, title), digest
                )

    def _attack(
        self,
        system: System,
        points: Sequence[evaluation.Point],
        text: str,
        budget: str | None,
    ) -> Waves:
        """The adversarial example of each clip, or the clip where there is none."""
        built, sizes, num_slots = attack_requests.build(system, text), None, None
        if built.fixed_budget:
            sizes = [budgets.size(budget, p.x, built.norm) for p in points]
        if count := self.num_draws:
            built = expectation(built, sample=system.noise.sample, num_samples=count)
            num_slots = max(1, default_slots() // count)
        found = {}
        with Progress(text, total=len(points), unit="clips") as line:
            for row, x_adv in evaluation.attack_points(
                built,
                system.logits_fn(),
                points,
                jax.random.fold_in(jax.random.key(system.task.seed), 2),
                budgets=sizes,
                num_slots=num_slots,
                resume=evaluation.AttackResume(on_round=lambda: line.advance(0)),
            ):
                found[row.id] = x_adv
                line.advance()
        return found

    def _predict(
        self,
        system: System,
        points: Sequence[evaluation.Point],
        waves: Waves,
        title: str,
    ) -> list[Answer]:
        predict = _predictor(system, smoothed=self.num_draws > 0)
        rate, seed, found = system.representation.sample_rate_hz, system.task.seed, []
        total = len(CHANGES) * len(points)
        with Progress(title, total=total, unit="predictions") as line:
            for change, point in itertools.product(CHANGES, points):
                id, wave = point.id, waves[point.id]
                draw = [seed, zlib.crc32(f"{change} {id}".encode())]
                changed = _transform(change, rate)(
                    wave, rate, np.random.default_rng(draw)
                )
                snr_db = radius_snr_db(point.x, float(np.linalg.norm(wave - point.x)))
                answer = predict(changed, id)
                found.append(Answer(change, id, point.label, answer, snr_db))
                line.advance()
        return found


def table(folder: pathlib.Path) -> tables.Table:
    """A line for each system and transform: accuracy without and with attack.

    Args:
        folder: of a folder of predictions for each system.
    """
    names, lines, counts = list(columns(0)), [], set()
    for system in sorted(folder.glob("*/"), key=lambda path: path.name != "plain"):
        files = [_file(folder, system.name, name) for name in names]
        if not all(file.exists() for file in files):
            continue
        by_column = [cached_rows.read(file, Answer) for file in files]
        for change in CHANGES:
            shares = [_right(rows, change) for rows in by_column]
            counts.update(share.total for share in shares)
            lines.append([system.name, change, *map(tables.share_text, shares)])
        heard = [f"{np.median([a.snr_db for a in each]):.1f}" for each in by_column]
        lines.append([system.name, "SNR in dB, median", "", *heard[1:]])
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


def _right(rows: Sequence[Answer], change: str) -> Share:
    hits = [row.answer == row.label for row in rows if row.transform == change]
    return Share(sum(hits), len(hits))


def _file(folder: pathlib.Path, system: str, column: str) -> pathlib.Path:
    return folder / system / f"{column.replace(' ', '_')}.tsv"


def _predictor(system: System, *, smoothed: bool) -> Callable[[np.ndarray, str], int]:
    """(wave, id) -> class: the network's prediction, or that of its vote."""
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


@functools.cache
def _transform(change: str, sample_rate_hz: int) -> Transform:
    """The change of a clip; one draw where it is noise."""
    if change == NONE:
        return lambda wave, rate, rng: wave
    if change != MASKED:
        return catalog.pick(change, TRANSFORMS)
    sample = jax.jit(smoothing.masked(sample_rate_hz=sample_rate_hz).sample)
    return lambda wave, rate, rng: np.asarray(
        sample(jax.random.key(rng.integers(2**31)), wave)
    )
