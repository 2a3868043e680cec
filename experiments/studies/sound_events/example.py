"""One clip that fools every network: a figure of spectrograms, and WAVs."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from advjax.metrics.distortion import radius_snr_db
from advjax.reports import figures
from advjax.representations import LogMelChunks
from experiments.lab import wav_pairs
from experiments.lab.adversarial_examples import file_name
from experiments.lab.clips import padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.examples import ClipRun, is_complete, read
from experiments.studies.sound_events.jobs import ClipJob
from experiments.studies.sound_events.systems import KINDS, SoundTask

ATTACK = "carlini_wagner"


@dataclasses.dataclass(frozen=True)
class ShownExample(Step):
    """Spectrograms and WAVs of the clip of median length that fools every network.

    Attributes:
        tasks: of the networks, by name.
        title: of the attack.
    """

    tasks: Mapping[str, SoundTask]
    title: str

    def given(self, job: Job) -> Any:
        """The examples that exist."""
        return {name: run.ids for name, run in self._runs(job).items()}

    def run(self, job: Job) -> None:
        """Write spectrograms.png and the folder wav, if there is such a clip."""
        runs = self._runs(job)
        if not runs:
            return
        first = self.tasks[next(iter(runs))].resolve()
        common = set.intersection(*(set(run.ids) for run in runs.values()))
        clips = [clip for clip in first.untargeted if clip.id in common]
        if not clips:
            return
        clips.sort(key=lambda clip: len(clip.sound.audio))
        clip = clips[len(clips) // 2]
        label = first.sounds.labels[clip.sound.label].replace("_", " ")
        title = f"{self.title} on a clip of {label}"
        _draw_spectrograms(clip, runs, title, job.out / "spectrograms.png")
        pairs = []
        for name, run in runs.items():
            pairs.append(
                wav_pairs.save_pair(
                    job.out / "wav" / f"{file_name(clip.id)}_{name}",
                    padded_wave(clip.sound.audio),
                    run.wave(clip.id),
                    self.tasks[name].resolve().classifier,
                    id=clip.id,
                    label=clip.sound.label,
                )
            )
        wav_pairs.write(job.out / "wav" / wav_pairs.EXAMPLES_FILE, pairs)

    def _runs(self, job: Job) -> dict[str, ClipRun]:
        folders = {name: job.out / "cells" / name / ATTACK for name in self.tasks}
        return {n: read(folder) for n, folder in folders.items() if is_complete(folder)}


def _draw_spectrograms(
    clip: ClipJob, runs: Mapping[str, ClipRun], title: str, path: pathlib.Path
) -> None:
    """Draw a clip, its adversarial example for each network, and their difference."""
    front_end = LogMelChunks()
    clean = padded_wave(clip.sound.audio)
    levels = np.asarray(front_end.levels(clean))
    images, titles = [], []
    for run in runs.values():
        wave = run.wave(clip.id)
        after = np.asarray(front_end.levels(wave))
        snr_db = radius_snr_db(clean, float(np.linalg.norm(wave - clean)))
        images.append([levels, after, after - levels])
        titles.append(["clean", f"adversarial, {snr_db:.1f} dB SNR", "difference"])
    figures.image_grid_plot(
        np.asarray(images),
        path,
        row_labels=[KINDS[name].title.partition(" (")[0] for name in runs],
        titles=titles,
        units="dB",
        title=title,
        last_is_difference=True,
    )
