"""Inputs of a speaker classifier, clean, noisy and perturbed: O'Reilly (2020).

The part of the publication beside the certification grid: the statistics of every
representation, two speakers under noise as figures and as WAVs, random perturbations of
given norm, and the network behind front ends that it was not trained on.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from advjax import evaluation, smoothing
from advjax.metrics.distortion import radius_snr_db
from advjax.records import spread
from advjax.reports import figures, tables
from experiments.lab import cell_files
from experiments.lab.audio import onward, read_wav, waveform_of, write_wav
from experiments.lab.data import Data
from experiments.lab.grid import Job, Step
from experiments.lab.task import System, Task
from experiments.studies.speakers.changed_inputs import (
    features_at,
    front_end_table,
    perturbation_table,
)

_SIGMAS = (0.01, 0.05, 0.10, 0.25, 0.50)
SIGMAS = {
    "waveform": _SIGMAS,
    "magnitude": (*_SIGMAS, 1.0),
    "mfbe": (*_SIGMAS, 1.0, 2.0),
}
"""Standard deviations of the noise at each stage, as in the publication's figures."""

# The publication's page, table "10-Speaker Subset Statistics" of train-clean-360:
# least, greatest, 1st and 99th percentile, mean, standard deviation. It gives no norms.
PUBLISHED_STATISTICS = {
    "waveform": ("-0.989", "0.985", "-0.199", "0.197", "-2.278e-05", "0.062"),
    "magnitude": ("0", "76.949", "0", "2.186", "0.170", "0.491"),
    "mfbe": ("-3.668", "7.934", "-0.848", "4.630", "-1.982e-11", "1.0"),
}
NOISY = "noisy_inputs"
"""Name of figures and of folders of WAVs; the number of the clip follows."""
NUM_NOISY = 2
"""Clips under noise, each of another speaker."""
FRONT_ENDS = "## Other front ends"


def statistics_table(records: Data, *, num_examples: int = 300) -> tables.Table:
    """Range, percentiles and moments of every representation, the publication's below.

    Args:
        records: the data.
        num_examples: at most so many records, spread evenly over the test split.
    """
    source = records.split("test")
    count = min(num_examples, len(source))
    clips = [source[int(index)]["audio"] for index in spread(len(source), count)]
    rows = []
    for stage in records.info.representation.chain():
        x = np.stack([evaluation.stage_features(stage, clip) for clip in clips])
        rows.append([stage.name, "x".join(map(str, x.shape[1:])), *statistics(x)])
        if found := PUBLISHED_STATISTICS.get(stage.name):
            rows.append([f"{stage.name}, publication", "", *found, ""])
    return tables.Table(
        ["representation", "shape", "min", "max", "1 %", "99 %", "mean", "s.d.", "l2"],
        rows,
        [
            f"{count} crops of the test split; 1 % and 99 %: percentiles of all "
            "entries; l2: mean norm of an input",
            "publication: ten speakers of LibriSpeech train-clean-360",
        ],
    )


def statistics(x: Float[np.ndarray, "examples *features"]) -> list[str]:
    """Least, greatest, 1st and 99th percentile, mean, standard deviation, mean l2."""
    # In float64: a waveform's mean drowns in a sum of millions of float32 values.
    moments = x.mean(dtype=np.float64), x.std(dtype=np.float64)
    norms = np.linalg.norm(x.reshape(len(x), -1).astype(np.float64), axis=1)
    numbers = (x.min(), x.max(), *np.percentile(x, [1, 99]), *moments)
    return [*(f"{number:.3g}" for number in numbers), f"{norms.mean():.2f}"]


def noisy_inputs(
    system: System,
    point: evaluation.Point,
    out: pathlib.Path,
    *,
    sigmas: Sequence[float] | None = None,
    name: str = NOISY,
) -> tables.Table:
    """A row for each stage and sigma; writes a figure and WAVs into `out`.

    The figure shows the network's input when noise enters at each stage. A WAV is
    resynthesised from the stage by the inverses of the chain, which borrow phases,
    frame levels and fine structure from the clean clip; a stage without an inverse has
    no WAV. All sigmas scale one draw of noise.

    Noise is neither normalised nor clipped on the way to the network. In the
    resynthesis a negative magnitude turns its phase around, and a negative mel energy
    counts as none; a WAV saturates at full scale, and such samples are counted. So the
    table has a prediction on each file, too.

    Args:
        system: whose network it is.
        point: a test point at the waveform.
        out: a folder; made if missing.
        sigmas: standard deviations, in the units of each stage; by default `SIGMAS`.
        name: of the figure, NAME.png, and of the folder of WAVs.
    """
    representation, classifier = system.representation, system.classifier
    chain, last, rate = (
        representation.chain(), representation.name, representation.sample_rate_hz
    )  # fmt: skip
    clean = {stage.name: features_at(stage, [point])[0] for stage in chain}
    write_wav(out / name / "clean.wav", point.x, rate)
    key = evaluation.example_key(jax.random.key(system.task.seed), point.id)
    from_wave, labels = classifier.logits_fn(chain[0].name), classifier.labels
    seen, rows = [], []
    for number, stage in enumerate(chain):
        x, stage_key = clean[stage.name], jax.random.fold_in(key, number)
        for sigma in sigmas or SIGMAS.get(stage.name, _SIGMAS):
            noisy = _sample(smoothing.gaussian(sigma).sample, stage_key, x)
            seen.append(np.asarray(onward(representation, stage.name, noisy)))
            moved = np.linalg.norm(seen[-1] - clean[last])
            row = [stage.name, f"{sigma:g}", _decibels(x, noisy), f"{moved:.2f}"]
            wave = waveform_of(stage, noisy, clean)
            if wave is None:
                rows.append(row + [""] * 4)
                continue
            file_name = f"{name}/{stage.name}_sigma{sigma:g}.wav"
            clipped = write_wav(out / file_name, wave, rate)
            file = read_wav(out / file_name)
            logits = evaluation.logits_of_batch(from_wave, file[None], batch_size=1)
            heard = labels[logits.argmax()]
            snr = _decibels(point.x, file)
            rows.append([*row, snr, f"{clipped}", heard, file_name])
    _draw(representation, clean[last], seen, rows, point, out / f"{name}.png")
    logits = evaluation.logits_of_batch(classifier.logits_fn(last), np.stack(seen))
    for row, prediction in zip(rows, logits.argmax(axis=1), strict=True):
        row.insert(4, labels[prediction])
    header = ["noise at", "σ", "SNR", f"l2 at {last}", "prediction"]
    return tables.Table(
        [*header, "SNR of WAV", "clipped", "prediction on WAV", "WAV"],
        rows,
        [
            f"clip {point.id} of speaker {labels[point.label]}; SNR: where the noise "
            "enters, in dB; l2: how far the network's input moves",
            f"clipped: samples of {len(point.x):,} beyond full scale in the WAV",
        ],
    )


def sections(
    task: Task,
    out: pathlib.Path,
    *,
    num_points: int = 40,
    sigmas: Sequence[float] | None = None,
) -> list[tuple[str, tables.Table]]:
    """Every table below its heading in Markdown; writes figure and WAVs into `out`.

    Args:
        task: whose network it is; the publication's was trained without noise.
        out: a folder; made if missing.
        num_points: test crops for accuracies; fewer if there are fewer.
        sigmas: of the noisy inputs; by default `SIGMAS`.
    """
    system = task.at_waveform().resolve()
    chain = system.representation.chain()
    points = system.test_points(min(num_points, system.data.info.splits["test"]))
    found = [("## Statistics", statistics_table(system.data))]
    for number, point in enumerate(of_other_speakers(points, NUM_NOISY), 1):
        name, speaker = f"{NOISY}_{number}", system.classifier.labels[point.label]
        table = noisy_inputs(system, point, out, sigmas=sigmas, name=name)
        heading = f"### Speaker {speaker}\n\n![inputs of the network]({name}.png)"
        if number == 1:
            heading = f"## Noisy inputs\n\n{heading}"
        found.append((heading, table))
    for stage in chain:
        heading = f"### At the {stage.name}"
        if stage is chain[0]:
            trained = f"Training of the network: {system.defence}."
            heading = f"## Random perturbations\n\n{trained}\n\n{heading}"
        found.append((heading, perturbation_table(system, points, stage.name)))
    if len(chain) > 2:
        found.append((FRONT_ENDS, front_end_table(system, points)))
    return found


def of_other_speakers(
    points: Sequence[evaluation.Point], count: int
) -> list[evaluation.Point]:
    """The first points of so many classes, or of all where there are fewer."""
    first = {point.label: point for point in reversed(points)}
    return [point for point in points if first[point.label] is point][:count]


@dataclasses.dataclass(frozen=True)
class Inputs(Step):
    """The tables of inputs, and their figure and WAVs in the folder of the study."""

    num_points: int = 40

    def run(self, job: Job) -> dict[str, Any]:
        """Return the tables; draw the figure."""
        return {"sections": sections(job.task, job.out, num_points=self.num_points)}


def read_sections(folder: pathlib.Path) -> list[tuple[str, tables.Table]]:
    """The sections of a finished cell with `Inputs`."""
    found = cell_files.results(folder)["sections"]
    return [(heading, tables.Table(**table)) for heading, table in found]


def _decibels(clean, noisy) -> str:
    change = np.asarray(noisy) - np.asarray(clean)
    snr = radius_snr_db(np.asarray(clean), float(np.linalg.norm(change.ravel())))
    return f"{snr:.1f}"


def _draw(representation, clean, seen, rows, point, path: pathlib.Path) -> None:
    names = [stage.name for stage in representation.chain()]
    mine = [[i for i, row in enumerate(rows) if row[0] == name] for name in names]
    columns = max(map(len, mine))
    images = np.full((len(names), 1 + columns, *clean.shape), np.nan, np.float32)
    images[:, 0] = clean
    titles = [["clean", *[""] * columns] for _ in names]
    for number, places in enumerate(mine):
        for column, place in enumerate(places, 1):
            images[number, column] = seen[place]
            titles[number][column] = f"σ = {rows[place][1]}, {rows[place][2]} dB"
    figures.image_grid_plot(
        images[..., 0],
        path,
        row_labels=[f"noise at\n{name}" for name in names],
        titles=titles,
        units=representation.name,
        title=f"Inputs of the network, clip {point.id}; SNR where the noise enters",
    )


_sample = jax.jit(lambda sample, key, x: sample(key, x))
