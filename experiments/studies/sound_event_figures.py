"""The figures of the study on sound events, and what tables share with them."""

import functools
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.classifier import Classifier
from advjax.reports import figures
from advjax.reports.tables import DASH
from advjax.representations import LogMelChunks
from advjax.runs.columns import Rows, concatenate
from experiments.lab import wav_pairs
from experiments.lab.adversarial_examples import file_name
from experiments.lab.clips import Clips, padded_wave
from experiments.studies import sound_event_answers as answering
from experiments.studies.sound_event_jobs import Job
from experiments.studies.sound_event_models import (
    KINDS,
    SAMPLE_RATE_HZ,
)

TARGETED = ("carlini_wagner_targeted", "lbfgs_targeted")


class Study(NamedTuple):
    """What a report is written of.

    Attributes:
        out: the folder of the cells and of the report.
        sounds: the corpus.
        attacked: the split that attacked clips are from.
        untargeted: clips attacked without a target.
        targeted: clips, each with a class to reach.
        pair_classes: the classes between which targeted attacks lead.
        titles: of the attacks.
        load: gives a network's classifier.
        transforms: whether the table of transforms is wanted.
        features: networks on log-mels that are also attacked there.
    """

    out: pathlib.Path
    sounds: Clips
    attacked: str
    untargeted: Sequence[Job]
    targeted: Sequence[Job]
    pair_classes: tuple[str, ...]
    titles: Mapping[str, str]
    load: Callable[[str], Classifier]
    transforms: bool
    features: Sequence[str] = ()


class Cell(NamedTuple):
    """One network under one attack: its rows, and its run's settings."""

    rows: Rows
    settings: Mapping[str, Any]


class Matrix(NamedTuple):
    """Of one targeted attack, all networks together: from the class, to the class."""

    success: Float[np.ndarray, "classes classes"]
    snr_db: Float[np.ndarray, "classes classes"]


def matrix_of(
    study: Study, cells: Mapping[tuple[str, str], Cell], attack: str
) -> Matrix | None:
    """That of one attack; None where there are no cells of it."""
    found = [cell.rows for (_, at), cell in cells.items() if at == attack]
    if not found:
        return None
    labels = study.sounds.labels
    places = [labels.index(name) for name in study.pair_classes]
    shape = (len(places), len(places))
    success, snr_db = np.full(shape, np.nan), np.full(shape, np.nan)
    rows = concatenate(found)
    for i, j in np.ndindex(shape):
        at = (rows.label == places[i]) & (rows.target == places[j])
        if at.any():
            success[i, j] = rows.success[at].mean()
            if (at & rows.success).any():
                snr_db[i, j] = rows.snr_db[at & rows.success].mean()
    return Matrix(success, snr_db)


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


def draw(
    study: Study,
    cells: Mapping[tuple[str, str], Cell],
    names: Sequence[str],
    made: Mapping[tuple[str, str], answering.Examples],
) -> None:
    """Draw figures 1 to 3."""
    _spectrograms(study, names, made)
    labels = study.sounds.labels
    bars = {}
    for attack in answering.POOLED:
        found = [cells[n, attack].rows for n in names if (n, attack) in cells]
        if found:
            new = np.concatenate([rows.predict[rows.success] for rows in found])
            bars[study.titles[attack]] = np.bincount(new, minlength=len(labels))
    if bars:
        figures.label_bars_plot(
            bars,
            study.out / "labels.png",
            labels=labels,
            x_label="new label",
            y_label="adversarial clips, all networks",
        )
    matrices = {
        study.titles[attack]: matrix
        for attack in TARGETED
        if (matrix := matrix_of(study, cells, attack)) is not None
    }
    if matrices:
        figures.matrix_plot(
            {title: matrix.success for title, matrix in matrices.items()},
            study.out / "targeted.png",
            texts={
                title: [[t.replace(", ", "\n") for t in row] for row in cell_texts(m)]
                for title, m in matrices.items()
            },
            labels=study.pair_classes,
            row_label="label",
            column_label="target",
            value_label="success, all networks",
        )


_SHOWN = "carlini_wagner"


def _shown_job(
    study: Study,
    names: Sequence[str],
    made: Mapping[tuple[str, str], answering.Examples],
) -> tuple[Job | None, list[str]]:
    """A clip in the middle of the lengths on which every network was fooled."""
    shown = [name for name in names if (name, _SHOWN) in made]
    common = [
        job
        for job in study.untargeted
        if shown and all(job.id in made[name, _SHOWN].ids for name in shown)
    ]
    common.sort(key=lambda job: len(job.sound.audio))
    return (common[len(common) // 2] if common else None), shown


def write_waves(
    study: Study,
    names: Sequence[str],
    made: Mapping[tuple[str, str], answering.Examples],
) -> list[wav_pairs.WavPair]:
    """Write the waves behind the spectrograms; each network judges its own files."""
    job, shown = _shown_job(study, names, made)
    pairs = []
    for name in shown if job else ():
        classifier = study.load(name)
        pairs.append(
            wav_pairs.save_pair(
                study.out / "wav" / f"{file_name(job.id)}_{name}",
                padded_wave(job.sound.audio),
                made[name, _SHOWN].wave(job.id),
                sample_rate_hz=SAMPLE_RATE_HZ,
                logits_fn=classifier.logits_fn("waveform"),
                labels=classifier.labels,
                id=job.id,
                label=job.sound.label,
            )
        )
    if pairs:
        wav_pairs.write(study.out / "wav" / wav_pairs.EXAMPLES_FILE, pairs)
    return pairs


def _spectrograms(study, names, made) -> None:
    job, shown = _shown_job(study, names, made)
    if job is None:
        return
    clean = padded_wave(job.sound.audio)
    levels = _levels(clean)
    images, titles = [], []
    for name in shown:
        wave = made[name, _SHOWN].wave(job.id)
        after = _levels(wave)
        delta = np.linalg.norm(wave - clean)
        snr_db = 20 * np.log10(np.linalg.norm(clean) / delta)
        images.append([levels, after, after - levels])
        titles.append(["clean", f"adversarial, {snr_db:.1f} dB SNR", "difference"])
    figures.image_grid_plot(
        np.asarray(images),
        study.out / "spectrograms.png",
        row_labels=[KINDS[name].title.partition(" (")[0] for name in shown],
        titles=titles,
        units="dB",
        title=f"{study.titles[_SHOWN]} on a clip of "
        + study.sounds.labels[job.sound.label].replace("_", " "),
        last_is_difference=True,
    )


@functools.cache
def _front_end() -> LogMelChunks:
    return LogMelChunks()


def _levels(wave):
    return np.asarray(_front_end().levels(wave))
