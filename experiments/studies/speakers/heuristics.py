"""Heuristic defences of speakers' networks, under attacks that certificates also face.

Each system, a plain network or a smoothed one, is attacked at the waveform: by l2 PGD
at two signal-to-noise ratios and by the imperceptible attack, on the mean over its
noise where it is smoothed. Then clean clips and adversarial ones go through each
transform, and the system predicts their classes. The attacks do not know of the
transforms.

Predictions are kept, a file for each system and attack, under a digest of their
settings. Adversarial examples are kept in the home until then, so that a stop costs
little.
"""

import dataclasses
import functools
import itertools
import json
import pathlib
import shutil
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
from advjax.runtime import parallel
from advjax.runtime.progress import Progress
from advjax.transforms import SMALL_ROOM, TRANSFORMS, Transform
from experiments.lab import attack_requests, budgets, cached_rows
from experiments.lab.adversarial_examples import ExampleFolder, file_name
from experiments.lab.console import say
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points
from experiments.lab.task import System
from experiments.studies.speakers.defended_sizes import Attacks

NONE, MASKED = "none", "masked noise"
FACTORS = (0.25, 0.5, 1.0)
"""Of masked noise: its authors sweep it, as louder noise costs clean accuracy."""
CHANGES = (
    NONE, "mp3(kbps=64)", "resample(rate_hz=8000)", "white_noise(snr_db=20)",
    SMALL_ROOM, *(f"{MASKED} x {factor:g}" for factor in FACTORS),
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


class Column(NamedTuple):
    """A column of the table.

    Attributes:
        attack: a choice from `ATTACKS`; None for clean clips.
        budget: of the attack; None for one that looks for the smallest perturbation.
        num_draws: noisy copies in the mean that a step on a smoothed system sees.
    """

    attack: str | None
    budget: str | None
    num_draws: int


COLUMNS = ("clean", "PGD 40 dB", "PGD 30 dB", "imperceptible")


def columns(attacks: Attacks) -> dict[str, Column]:
    """The columns by their titles, which are `COLUMNS`."""
    pgd = f"pgd(norm='l2', num_steps={attacks.pgd_steps}, stop='last')"
    imperceptible = f"imperceptible(num_steps={attacks.imperceptible})"
    every = (
        Column(None, None, 0),
        Column(pgd, "40dB", attacks.pgd_draws),
        Column(pgd, "30dB", attacks.pgd_draws),
        Column(imperceptible, None, attacks.imperceptible_draws),
    )
    return dict(zip(COLUMNS, every, strict=True))


@dataclasses.dataclass(frozen=True)
class Heuristics(Step):
    """Predictions of a system at the waveform behind every transform.

    Attributes:
        num_points: test clips.
        attacks: strengths of the attacks.
        smoothed: the system is smoothed by the noise of its task.
    """

    num_points: int
    attacks: Attacks
    smoothed: bool

    def run(self, job: Job) -> None:
        """Attack and predict where the file of an attack is missing."""
        system, name = job.resolve(), job.cell["training"]
        points = attacked_points(system, self.num_points)
        for title, column in columns(self.attacks).items():
            if not self.smoothed:
                column = column._replace(num_draws=0)
            file = _file(job.out / "heuristics", name, title)
            decided_by = (
                system.classifier.digest(), *map(str, column), json.dumps(CHANGES),
                f"{self.smoothed} {system.task.sigma} {NUM_VOTES} {system.task.seed}",
                json.dumps([point.id for point in points]),
            )  # fmt: skip
            digest = cached_rows.digest_of(decided_by)
            if cached_rows.read(file, Answer, digest) is None:
                waves = {point.id: point.x for point in points}
                kept = job.task.home / "heuristics" / digest
                if column.attack is not None:
                    waves = self._attack(system, points, column, kept)
                words = f"{name} {column.attack or 'clean'}"
                cached_rows.write(
                    file, self._predict(system, points, waves, words), digest
                )
                shutil.rmtree(kept, ignore_errors=True)

    def _attack(
        self,
        system: System,
        points: Sequence[evaluation.Point],
        column: Column,
        kept: pathlib.Path,
    ) -> Waves:
        """The adversarial example of each clip, or the clip where there is none.

        Args:
            system: the attacked system.
            points: the clips.
            column: the attack.
            kept: folder of the finished examples and a snapshot of the others.
        """
        text, count, sizes = column.attack, column.num_draws, None
        built = attack_requests.build(system, text)
        if built.fixed_budget:
            sizes = [budgets.size(column.budget, p.x, built.norm) for p in points]
        if count:
            built = expectation(built, sample=system.noise.sample, num_samples=count)
        kept.mkdir(parents=True, exist_ok=True)
        store, mesh = ExampleFolder(kept), parallel.local_mesh()
        files = {point.id: kept / f"{file_name(point.id)}.npy" for point in points}
        found = {
            id: np.load(file, allow_pickle=False)
            for id, file in files.items()
            if file.exists()
        }
        slots = max(1, default_slots() // max(1, count))
        with Progress(text, total=len(points), unit="clips", done=len(found)) as line:
            for row, x_adv in evaluation.attack_points(
                built,
                system.logits_fn(),
                points,
                jax.random.fold_in(jax.random.key(system.task.seed), 2),
                budgets=sizes,
                num_slots=slots * (1 if mesh is None else mesh.size),
                mesh=mesh,
                resume=evaluation.AttackResume(
                    done=set(found),
                    snapshot=kept / "attack.npz",
                    on_round=lambda: line.advance(0),
                    note=say,
                ),
            ):
                store.write(row.id, x_adv)
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
        predict = _predictor(system, smoothed=self.smoothed)
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
    lines, counts = [], set()
    for system in sorted(folder.glob("*/"), key=lambda path: path.name != "plain"):
        files = [_file(folder, system.name, name) for name in COLUMNS]
        if not all(file.exists() for file in files):
            continue
        by_column = [cached_rows.read(file, Answer) for file in files]
        for change in dict.fromkeys(row.transform for row in by_column[0]):
            shares = [_right(rows, change) for rows in by_column]
            counts.update(share.total for share in shares)
            lines.append([system.name, change, *map(tables.share_text, shares)])
        heard = [f"{np.median([a.snr_db for a in each]):.1f}" for each in by_column]
        lines.append([system.name, "SNR in dB, median", "", *heard[1:]])
    clips = " or ".join(map(str, sorted(counts)))
    return tables.Table(
        ["training", "behind", *COLUMNS],
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
    name, _, factor = change.partition(" x ")
    if name != MASKED:
        return catalog.pick(change, TRANSFORMS)
    noise = smoothing.masked(float(factor), sample_rate_hz=sample_rate_hz)
    sample = jax.jit(noise.sample)
    return lambda wave, rate, rng: np.asarray(
        sample(jax.random.key(rng.integers(2**31)), wave)
    )
