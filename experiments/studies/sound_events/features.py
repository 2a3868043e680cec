"""Attacks on a network's mel levels, made audible by Griffin and Lim's algorithm.

Levels that are changed freely belong to no wave. Whoever wants to play them needs a
wave whose levels come near: this measures how many examples survive that way, beside
clean levels that go it too.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float32

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS
from advjax.representations import LogMelChunks
from advjax.runtime.progress import Progress
from experiments.lab import cached_rows, wav_pairs
from experiments.lab.adversarial_examples import file_name
from experiments.lab.console import say
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.attacks import answered
from experiments.studies.sound_events.jobs import ClipJob, by_length

ATTACK = (
    "carlini_wagner(num_searches=3,num_steps=100,learning_rate=0.2,initial_c=1000.0,"
    "confidence=5.0)"
)
"""Margins of 5 logits: what lies on the boundary itself does not survive anything."""
ITERATIONS = 32  # librosa's default


class Heard(NamedTuple):
    """One clip.

    Attributes:
        id: the clip's.
        clean: the network's answer to it.
        at_features: to the attacked levels.
        played: to the wave made of the attacked levels.
        clean_played: to the wave made of the clean levels.
        change_db: root mean square of the change of the levels.
    """

    id: str
    clean: int
    at_features: int
    played: int
    clean_played: int
    change_db: float


def wave_of_levels(
    levels: Float[np.ndarray, "frames bands"], loudest: float, front_end: LogMelChunks
) -> Float32[np.ndarray, "time"]:
    """A wave whose mel levels come near.

    Args:
        levels: in dB below the loudest entry.
        loudest: that entry's power.
        front_end: what the levels are of.

    Source: Griffin and Lim 1984, in librosa's form with momentum 0.99; bins behind the
    bands by non-negative least squares.
    """
    import librosa

    power = np.maximum(10 ** (levels.T / 10) * loudest - front_end.floor, 0)
    magnitudes = librosa.feature.inverse.mel_to_stft(
        power.astype(np.float32),
        sr=front_end.sample_rate_hz,
        n_fft=front_end.frame_length,
        power=2.0,
    )
    wave = librosa.griffinlim(
        magnitudes,
        n_iter=ITERATIONS,
        hop_length=front_end.hop,
        n_fft=front_end.frame_length,
        center=False,
        random_state=0,
    )
    return np.clip(wave[: levels.shape[0] * front_end.hop], -1, 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class AtFeatures(Step):
    """Attacks on the levels that a network takes in, and what they are as sound.

    Attacks leave the network's own answers. `features/NAME.tsv` has a row for each
    clip; beside it lie the first successful example of a length as WAVs, and
    `examples.tsv` with the network's answers to these files.
    """

    def run(self, job: Job) -> None:
        """Attack the clips, unless the same is kept already."""
        system, name = job.resolve(), job.task.kind
        jobs, folder = system.untargeted, job.out / "features" / name
        wanted = [each.id for each in jobs]
        made_by = [system.classifier.digest(), ATTACK, str(ITERATIONS), *wanted]
        file, digest = folder.with_suffix(".tsv"), cached_rows.digest_of(made_by)
        if cached_rows.read(file, Heard, digest) is not None:
            return
        found, pairs = [], []
        with Progress(f"{name} at the features", total=len(jobs), unit="clips") as line:
            for group in by_length(jobs).values():
                for row, pair in _group(system.classifier, group, folder):
                    found.append(row)
                    pairs += [pair] if pair else []
                    line.advance()
        if pairs:
            wav_pairs.write(folder / wav_pairs.EXAMPLES_FILE, pairs)
            for pair in pairs:
                say(f"{name}, played by Griffin-Lim: {wav_pairs.in_words(pair)}")
        found.sort(key=lambda row: wanted.index(row.id))
        cached_rows.write(file, found, digest)


def _group(classifier, jobs: Sequence[ClipJob], folder: pathlib.Path):
    """Each clip's row; the first success comes with its WAVs."""
    front_end = classifier.representation
    at_features = classifier.logits_fn(front_end.name)
    at_wave = classifier.logits_fn("waveform")
    at_wave_points = {job.id: job.point() for job in jobs}
    waves = {id: point.x for id, point in at_wave_points.items()}
    x = {id: np.asarray(_features(front_end, wave)) for id, wave in waves.items()}
    points = [point._replace(x=x[id]) for id, point in at_wave_points.items()]
    points = answered(points, at_features)
    attack = catalog.pick(ATTACK, ATTACKS, bounds=front_end.bounds)
    heard = False
    for found in evaluation.attack_points(
        attack, at_features, points, jax.random.key(0), num_slots=4
    ):
        id = found.row.id
        clean = waves[id]
        loudest = float(_power(front_end, clean).max()) + front_end.floor
        played = [
            wave_of_levels(np.concatenate(levels)[:, :, 0], loudest, front_end)
            for levels in (x[id], found.x_adv)
        ]
        answers = evaluation.logits_of_batch(
            at_wave, np.stack([clean, *played]), batch_size=3
        ).argmax(axis=1)
        pair = None
        if found.row.success and not heard:
            heard = True
            pair = wav_pairs.save_pair(
                folder / f"{file_name(id)}_griffin_lim",
                *played,
                classifier,
                id=id,
                label=found.row.label,
            )
        row = Heard(
            id=id,
            clean=int(answers[0]),
            at_features=found.row.predict,
            played=int(answers[2]),
            clean_played=int(answers[1]),
            change_db=float(np.sqrt(np.mean((found.x_adv - x[id]) ** 2))),
        )
        yield row, pair


_features = jax.jit(lambda front_end, wave: front_end.step(wave), static_argnums=0)
_power = jax.jit(lambda front_end, wave: front_end.band_power(wave), static_argnums=0)
