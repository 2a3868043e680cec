"""Attacks on a network's mel levels, played by Griffin and Lim's algorithm.

Levels that an attack changes freely belong to no wave. Playing them takes a wave with
similar levels. The tables count the examples that survive this, beside clean levels.
"""

import dataclasses
import pathlib
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float, Float32

from advjax import catalog, evaluation
from advjax.attacks import ATTACKS
from advjax.classifier import Classifier
from advjax.padding import stack
from advjax.representations import LogMelChunks
from advjax.representations.chunks import CHUNK_SAMPLES
from advjax.runtime.progress import Progress
from experiments.lab import cached_rows, wav_pairs
from experiments.lab.adversarial_examples import file_name
from experiments.lab.clips import in_buckets
from experiments.lab.console import say
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.attacks import answered
from experiments.studies.sound_events.jobs import ClipJob

ATTACK = (
    "carlini_wagner(num_searches=3,num_steps=100,learning_rate=0.2,initial_c=1000.0,"
    "confidence=5.0)"
)
"""With margins of 5 logits: examples on the boundary itself survive nothing."""
ITERATIONS = 32  # librosa's default


class Heard(NamedTuple):
    """The network's predictions around one clip.

    Attributes:
        id: of the clip.
        clean: on the clip.
        at_features: on the attacked levels.
        played: on the wave made of the attacked levels.
        clean_played: on the wave made of the clean levels.
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
    """A wave whose mel levels are close to these.

    Args:
        levels: in dB below the loudest entry.
        loudest: that entry's power.
        front_end: whose levels they are.

    Source: Griffin and Lim 1984, in librosa's form with momentum 0.99; bins of the
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
    """Attacks on the levels that a network takes in, played as sound.

    Attacks change the network's own predictions. `features/NAME.tsv` has a row for each
    clip. `features/NAME` has the first successful example of each length as WAVs, and
    `examples.tsv` with the network's predictions on these files.
    """

    def run(self, job: Job) -> None:
        """Attack the clips, unless the file has their rows."""
        system, name = job.resolve(), job.task.kind
        jobs, folder = system.untargeted, job.out / "features" / name
        wanted = [each.id for each in jobs]
        decided_by = [system.classifier.digest(), ATTACK, str(ITERATIONS), *wanted]
        file, digest = folder.with_suffix(".tsv"), cached_rows.digest_of(decided_by)
        if cached_rows.read(file, Heard, digest) is not None:
            return
        found, pairs = [], []
        with Progress(f"{name} at the features", total=len(jobs), unit="clips") as line:
            for pad_to, group in in_buckets((each.sound, each) for each in jobs):
                for row, pair in _attack(system.classifier, group, pad_to, folder):
                    found.append(row)
                    pairs += [pair] if pair else []
                    line.advance()
        if pairs:
            wav_pairs.write(folder / wav_pairs.EXAMPLES_FILE, pairs)
            for pair in pairs:
                say(f"{name}, played by Griffin-Lim: {wav_pairs.in_words(pair)}")
        found.sort(key=lambda row: wanted.index(row.id))
        cached_rows.write(file, found, digest)


def _attack(
    classifier: Classifier,
    jobs: Sequence[ClipJob],
    pad_to: int | None,
    folder: pathlib.Path,
) -> Iterator[tuple[Heard, wav_pairs.WavPair | None]]:
    """Each clip's row; the first success of each length has WAVs."""
    front_end = classifier.representation
    at_features = classifier.logits_fn(front_end.name)
    at_wave = classifier.logits_fn("waveform")
    waves = {job.id: job.point() for job in jobs}
    chunks = pad_to and pad_to // CHUNK_SAMPLES
    points = [
        point._replace(x=np.asarray(_features(front_end, point.x)), pad_to=chunks)
        for point in waves.values()
    ]
    levels = {point.id: point.x for point in points}
    attack = catalog.pick(ATTACK, ATTACKS, bounds=front_end.bounds)
    saved = set()
    for row, x_adv in evaluation.attack_points(
        attack, at_features, answered(points, at_features), jax.random.key(0),
        num_slots=4,
    ):  # fmt: skip
        x, wave = levels[row.id], waves[row.id].x
        loudest = float(_power(front_end, wave).max()) + front_end.floor
        played = [
            wave_of_levels(np.concatenate(each)[:, :, 0], loudest, front_end)
            for each in (x, x_adv)
        ]
        answers = evaluation.logits_of_batch(
            at_wave, stack([wave, *played], pad_to), batch_size=3
        ).argmax(axis=1)
        pair = None
        if row.success and len(x) not in saved:
            saved.add(len(x))
            pair = wav_pairs.save_pair(
                folder / f"{file_name(row.id)}_griffin_lim",
                *played,
                classifier,
                id=row.id,
                label=row.label,
            )
        clean, clean_played, adversarial = (int(answer) for answer in answers)
        change_db = float(np.sqrt(np.mean((x_adv - x) ** 2)))
        yield (
            Heard(row.id, clean, row.predict, adversarial, clean_played, change_db),
            pair,
        )


_features = jax.jit(lambda front_end, wave: front_end.step(wave), static_argnums=0)
_power = jax.jit(lambda front_end, wave: front_end.band_power(wave), static_argnums=0)
