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

ATTACKS = ("deepfool", "carlini_wagner")
Runs = Mapping[tuple[str, str], ClipRun]


@dataclasses.dataclass(frozen=True)
class ShownExample(Step):
    """Spectrograms and WAVs of the clip of median length that fools every network.

    Attributes:
        tasks: of the networks, by name.
        titles: of the attacks.
    """

    tasks: Mapping[str, SoundTask]
    titles: Mapping[str, str]

    def given(self, job: Job) -> Any:
        """The examples that exist."""
        return {"/".join(key): run.ids for key, run in self._runs(job).items()}

    def run(self, job: Job) -> None:
        """Write spectrograms.png and the folder wav, if there is such a clip."""
        runs = self._runs(job)
        if not runs:
            return
        first = self.tasks[next(iter(runs))[0]].resolve()
        common = set.intersection(*(set(run.ids) for run in runs.values()))
        clips = [clip for clip in first.untargeted if clip.id in common]
        if not clips:
            return
        clips.sort(key=lambda clip: len(clip.sound.audio))
        clip = clips[len(clips) // 2]
        label = first.sounds.labels[clip.sound.label].replace("_", " ")
        _draw_spectrograms(clip, label, self.titles, runs, job.out / "spectrograms.png")
        pairs = []
        for (name, attack), run in runs.items():
            pairs.append(
                wav_pairs.save_pair(
                    job.out / "wav" / f"{file_name(clip.id)}_{name}_{attack}",
                    padded_wave(clip.sound.audio),
                    run.wave(clip.id),
                    self.tasks[name].resolve().classifier,
                    id=clip.id,
                    label=clip.sound.label,
                )
            )
        wav_pairs.write(job.out / "wav" / wav_pairs.EXAMPLES_FILE, pairs)

    def _runs(self, job: Job) -> dict[tuple[str, str], ClipRun]:
        keys = [(name, attack) for name in self.tasks for attack in ATTACKS]
        folders = {key: job.out.joinpath("cells", *key) for key in keys}
        return {n: read(folder) for n, folder in folders.items() if is_complete(folder)}


def _draw_spectrograms(
    clip: ClipJob,
    label: str,
    titles: Mapping[str, str],
    runs: Runs,
    path: pathlib.Path,
) -> None:
    """Draw a clip, its adversarial examples for each network, and the differences."""
    front_end = LogMelChunks()
    clean = padded_wave(clip.sound.audio)
    levels = np.asarray(front_end.levels(clean))
    images, texts = [], []
    names = list(dict.fromkeys(name for name, _ in runs))
    for name in names:
        row, line = [levels], ["clean"]
        for attack in ATTACKS:
            image, text = np.full_like(levels, np.nan), ""
            if run := runs.get((name, attack)):
                wave = run.wave(clip.id)
                image = np.asarray(front_end.levels(wave))
                snr_db = radius_snr_db(clean, float(np.linalg.norm(wave - clean)))
                text = f"{titles[attack]}, {snr_db:.1f} dB SNR"
            row.append(image)
            line.append(text)
        row += [image - levels for image in row[1:]]
        line += [f"{titles[attack]} minus clean" for attack in ATTACKS]
        images.append(row)
        texts.append(line)
    figures.image_grid_plot(
        np.asarray(images),
        path,
        row_labels=[KINDS[name].title.partition(" (")[0] for name in names],
        titles=texts,
        units="dB",
        title=f"A clip of {label} that fools every network",
        last_is_difference=True,
        num_differences=len(ATTACKS),
    )
