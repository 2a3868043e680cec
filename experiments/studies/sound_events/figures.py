"""The figures of the study on sound events, and what tables share with them."""

import dataclasses
import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.reports import figures
from advjax.reports.tables import DASH
from advjax.representations import LogMelChunks
from advjax.runs.columns import Rows, concatenate
from experiments.lab import wav_pairs
from experiments.lab.adversarial_examples import file_name
from experiments.lab.clips import padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events import examples
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.jobs import ClipJob
from experiments.studies.sound_events.systems import KINDS, SoundTask

TARGETED = ("carlini_wagner_targeted", "lbfgs_targeted")


class Matrix(NamedTuple):
    """Of one targeted attack, all networks together: from the class, to the class."""

    success: Float[np.ndarray, "classes classes"]
    snr_db: Float[np.ndarray, "classes classes"]


def pooled(runs: Sequence[ClipRun]) -> Rows:
    """The rows of several networks together."""
    return concatenate([run.rows for run in runs])


def matrix_of(rows: Rows, classes: Sequence[str]) -> Matrix:
    """That of one attack, between these classes."""
    goals = [id.partition(">")[2] for id in rows.id]
    places = {g: int(t) for g, t in zip(goals, rows.target, strict=True)}
    shape = (len(classes), len(classes))
    success, snr_db = np.full(shape, np.nan), np.full(shape, np.nan)
    for i, j in np.ndindex(shape):
        source, goal = (places.get(classes[k], -1) for k in (i, j))
        at = (rows.label == source) & (rows.target == goal)
        if at.any():
            success[i, j] = rows.success[at].mean()
            if (at & rows.success).any():
                snr_db[i, j] = rows.snr_db[at & rows.success].mean()
    return Matrix(success, snr_db)


def pair_classes(run: ClipRun) -> list[str]:
    """The classes between which a targeted attack leads, in their order."""
    goals = list(dict.fromkeys(id.partition(">")[2] for id in run.settings["jobs"]))
    # The first clips are of the first class, and lead to all others.
    return [goals[-1], *goals[:-1]]


def cell_texts(matrix: Matrix) -> list[list[str]]:
    """What stands in its cells: the success, and the mean SNR in dB."""
    return [
        [
            DASH
            if np.isnan(share)
            else f"{100 * share:.0f} %" + ("" if np.isnan(snr) else f", {snr:.0f} dB")
            for share, snr in zip(*pair, strict=True)
        ]
        for pair in zip(*matrix, strict=True)
    ]


def draw_labels(
    runs: Mapping[str, Sequence[ClipRun]], labels: Sequence[str], path: pathlib.Path
) -> None:
    """Draw the new labels of adversarial clips.

    Args:
        runs: those of every network, by the title of the attack.
        labels: of the corpus.
        path: of the PNG.
    """
    bars = {}
    for title, found in runs.items():
        new = np.concatenate([run.rows.predict[run.rows.success] for run in found])
        bars[title] = np.bincount(new, minlength=len(labels))
    figures.label_bars_plot(
        bars,
        path,
        labels=labels,
        x_label="new label",
        y_label="adversarial clips, all networks",
    )


def draw_targets(
    matrices: Mapping[str, Matrix], classes: Sequence[str], path: pathlib.Path
) -> None:
    """Draw the success of targeted attacks between classes, by their titles."""
    figures.matrix_plot(
        {title: matrix.success for title, matrix in matrices.items()},
        path,
        texts={
            title: [[t.replace(", ", "\n") for t in row] for row in cell_texts(m)]
            for title, m in matrices.items()
        },
        labels=classes,
        row_label="label",
        column_label="target",
        value_label="success, all networks",
    )


_SHOWN = "carlini_wagner"


@dataclasses.dataclass(frozen=True)
class ShownExample(Step):
    """One clip that fools every network: spectrograms, and WAVs that are judged.

    Attributes:
        tasks: of the networks, by name.
        title: of the attack.
    """

    tasks: Mapping[str, SoundTask]
    title: str

    def given(self, job: Job) -> Any:
        """The examples that are there."""
        return {name: [*made.ids] for name, made in self._made(job).items()}

    def run(self, job: Job) -> None:
        """Draw and write them, if there is such a clip."""
        made = self._made(job)
        if not made:
            return
        first = self.tasks[next(iter(made))].resolve()
        common = [
            clip
            for clip in first.untargeted
            if all(clip.id in each.ids for each in made.values())
        ]
        common.sort(key=lambda clip: len(clip.sound.audio))
        if not common:
            return
        clip = common[len(common) // 2]
        label = first.sounds.labels[clip.sound.label].replace("_", " ")
        title = f"{self.title} on a clip of {label}"
        draw_spectrograms(clip, made, title, job.out / "spectrograms.png")
        pairs = [
            wav_pairs.save_pair(
                job.out / "wav" / f"{file_name(clip.id)}_{name}",
                padded_wave(clip.sound.audio),
                each.wave(clip.id),
                classifier,
                id=clip.id,
                label=clip.sound.label,
            )
            for name, each in made.items()
            for classifier in [self.tasks[name].resolve().classifier]
        ]
        wav_pairs.write(job.out / "wav" / wav_pairs.EXAMPLES_FILE, pairs)

    def _made(self, job: Job) -> dict[str, examples.Examples]:
        folders = {name: job.out / "cells" / name / _SHOWN for name in self.tasks}
        return {
            name: examples.Examples.of(folder)
            for name, folder in folders.items()
            if examples.is_complete(folder)
        }


def draw_spectrograms(
    clip: ClipJob,
    made: Mapping[str, examples.Examples],
    title: str,
    path: pathlib.Path,
) -> None:
    """Draw a clip, its adversarial twin for each network, and their difference."""
    clean = padded_wave(clip.sound.audio)
    levels = _levels(clean)
    images, titles = [], []
    for each in made.values():
        wave = each.wave(clip.id)
        after = _levels(wave)
        delta = np.linalg.norm(wave - clean)
        snr_db = 20 * np.log10(np.linalg.norm(clean) / delta)
        images.append([levels, after, after - levels])
        titles.append(["clean", f"adversarial, {snr_db:.1f} dB SNR", "difference"])
    figures.image_grid_plot(
        np.asarray(images),
        path,
        row_labels=[KINDS[name].title.partition(" (")[0] for name in made],
        titles=titles,
        units="dB",
        title=title,
        last_is_difference=True,
    )


@functools.cache
def _front_end() -> LogMelChunks:
    return LogMelChunks()


def _levels(wave):
    return np.asarray(_front_end().levels(wave))
