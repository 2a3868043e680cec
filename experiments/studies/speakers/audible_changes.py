"""Audibility of perturbations beside their clips: an attack's, and random ones.

Two experiments of O'Reilly (2020): Qin et al.'s (2019) imperceptible attack beside
uniform noise of the same l2 norm, which shows that the norm does not tell what is
heard; and random perturbations of a given norm at the magnitude, resynthesised.
Audibility is judged by the masking threshold of `signal.masking`.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax import evaluation
from advjax.attacks import noise
from advjax.metrics.audibility import audible_share
from advjax.metrics.clustered import clustered_share
from advjax.metrics.distortion import radius_snr_db
from advjax.metrics.shares import share_of
from advjax.reports import figures, tables
from advjax.runs.row_types import AttackRow
from advjax.runtime.progress import Progress
from advjax.signal.masking import (
    HOP,
    bin_frequencies_hz,
    masking_threshold,
    perturbation_power,
)
from experiments.lab import attack_requests, caveats
from experiments.lab.audio import read_wav, waveform_of, write_wav
from experiments.lab.grid import Job, Step
from experiments.lab.steps import attacked_points
from experiments.lab.task import System
from experiments.studies.speakers.changed_inputs import features_at, unit_perturbations
from experiments.studies.speakers.inputs import of_other_speakers

PUBLISHED = ("publication's pair", "", "1.2", "0.03", "", "", "", "", "")
"""Source: the publication's page, of a pair of WAVs by Qin et al. They are of 16 kHz
and give an l2 norm of 1.06; 1.2 is that of 22.05 kHz, where the page loaded them."""
FIGURE = "imperceptible.png"
RADII_FIGURE = "audible_radii.png"
WAVS = "imperceptible"
"""Folder of the WAVs, below that of the study."""
STAGE = "magnitude"
RADII = tuple(2.0**k for k in range(-7, 7))
SHARES = (0.01, 1.0)
"""Shares of the coordinates that random perturbations change."""
_ATTACK, _NOISE = "imperceptible attack", "uniform noise"
_FLOOR_DB = -20.0
"""Least level of the figure: nothing below it is heard."""


class Heard(NamedTuple):
    """A perturbed clip.

    Attributes:
        row: of the attack.
        x_adv: the perturbed clip.
        share: of frames and bins in which the perturbation is above the threshold.
        on_file: the prediction on the clip as a WAV of 16 bits.
        clipped: samples that the WAV clips.
        file: the WAV's name.
    """

    row: AttackRow
    x_adv: Float[np.ndarray, "time"]
    share: float
    on_file: int
    clipped: int
    file: str


def attack_tables(
    system: System,
    points: Sequence[evaluation.Point],
    out: pathlib.Path,
    *,
    num_steps: tuple[int, int],
) -> list[tables.Table]:
    """A line for the attack and one for noise, then one for each clip.

    Writes the figure and WAVs of every clip into `out`. Clips that the network
    misclassifies are left out. The noise has the l2 norm of the attack's perturbation
    of the same clip.

    Args:
        system: whose network it is, at the waveform.
        points: test points at the waveform.
        out: a folder; made if missing.
        num_steps: of the attack's two stages.

    Raises:
        ValueError: the network is wrong on all points.
    """
    logits_fn, labels = system.logits_fn(), [point.label for point in points]
    stacked = np.stack([point.x for point in points])
    clean = evaluation.logits_of_batch(logits_fn, stacked).argmax(axis=1)
    right = [p for p, found in zip(points, clean == labels, strict=True) if found]
    if not right:
        raise ValueError(
            f"the network is wrong on all {len(points)} clips: train it for longer"
        )
    text = f"imperceptible(num_steps={num_steps})"
    attacked = _attacked(system, right, attack_requests.build(system, text), text)
    norms = [attacked[point.id].row.l2 for point in right]
    uniform = noise(law="uniform", bounds=system.stage.bounds)
    noisy = _attacked(system, right, uniform, _NOISE, budgets=norms)
    each = {
        _ATTACK: _heard(system, right, attacked, out, "attack"),
        _NOISE: _heard(system, right, noisy, out, "noise"),
    }
    for number, point in enumerate(right, 1):
        rate = system.representation.sample_rate_hz
        write_wav(out / WAVS / f"{number}_clean.wav", point.x, rate)
    _draw(system, right, each, out / FIGURE)
    return [_summary(points, right, each, num_steps), _listing(system, right, each)]


def _attacked(system, points, built, text, budgets=None):
    """The row and the adversarial example of each point, by its id."""
    key = jax.random.fold_in(jax.random.key(system.task.seed), 2)
    found = {}
    with Progress(text, total=len(points), unit="clips") as line:
        for each in evaluation.attack_points(
            built,
            system.logits_fn(),
            points,
            key,
            budgets=budgets,
            resume=evaluation.AttackResume(on_round=lambda: line.advance(0)),
        ):
            found[each.row.id] = each
            line.advance()
    return found


def _heard(system, points, found, out, name) -> list[Heard]:
    """Audible shares and WAVs of perturbed clips, in the order of the points."""
    rate, heard = system.representation.sample_rate_hz, []
    for number, point in enumerate(points, 1):
        row, x_adv = found[point.id]
        file = f"{WAVS}/{number}_{name}.wav"
        clipped = write_wav(out / file, x_adv, rate)
        wave = read_wav(out / file)
        logits = evaluation.logits_of_batch(system.logits_fn(), wave[None])
        share = float(_audible_share(point.x, x_adv, rate))
        heard.append(Heard(row, x_adv, share, int(logits.argmax()), clipped, file))
    return heard


def _audible_share_of(wave, changed, sample_rate_hz):
    threshold = masking_threshold(wave, sample_rate_hz=sample_rate_hz)
    return audible_share(changed - wave, threshold)


_audible_share = jax.jit(_audible_share_of, static_argnums=2)


def _summary(points, right, each, num_steps) -> tables.Table:
    rows = []
    for name, heard in each.items():
        l2, linf, snr_db, share, predict, on_file, label = np.transpose(
            [
                [h.row.l2, h.row.linf, h.row.snr_db, h.share]
                + [h.row.predict, h.on_file, h.row.label]
                for h in heard
            ]
        )
        rows.append(
            [
                name,
                tables.share_text(share_of(predict != label)),
                f"{np.median(l2):.3g}",
                f"{np.median(linf):.3g}",
                f"{np.median(snr_db):.1f}",
                f"{100 * np.median(share):.2f}",
                f"{100 * share.max():.2f}",
                tables.share_text(share_of(share == 0)),
                tables.share_text(share_of(on_file != label)),
            ]
        )
    return tables.Table(
        [
            *("perturbation", "success", "l2", "linf", "SNR in dB", "audible %"),
            *("at most %", "inaudible clips", "success of WAV"),
        ],
        [*rows, list(PUBLISHED)],
        [
            f"{len(right)} of {len(points)} clips, those that the network classifies "
            f"right; {num_steps[0]} + {num_steps[1]} steps; medians over the clips; "
            "success: another prediction; noise: one draw, with the l2 norm of the "
            "attack on the same clip",
            "audible: share of frames and bins above the masking threshold of the "
            "clip; inaudible clips: those without any; l2 and linf: at the waveform, "
            "full scale 1",
            tables.INTERVAL_NOTE,
        ],
    )


def _listing(system, points, each) -> tables.Table:
    labels, rows = system.classifier.labels, []
    for number, point in enumerate(points):
        for name, heard in each.items():
            row = heard[number].row
            rows.append(
                [
                    point.id, name, labels[point.label], labels[row.predict],
                    f"{row.l2:.3g}", f"{row.linf:.3g}", f"{row.snr_db:.1f}",
                    f"{100 * heard[number].share:.2f}", f"{heard[number].clipped}",
                    labels[heard[number].on_file], heard[number].file,
                ]
            )  # fmt: skip
    return tables.Table(
        [
            *("clip", "perturbation", "speaker", "prediction", "l2", "linf"),
            *("SNR in dB", "audible %", "clipped", "prediction on WAV", "WAV"),
        ],
        rows,
        ["clipped: samples beyond full scale in the WAV; NUMBER_clean.wav lies beside"],
    )


@jax.jit
def _levels_db(
    wave: Float[Array, "time"], delta: Float[Array, "time"], threshold: Any
) -> Float[Array, "kinds frames bins"]:
    """Levels of a clip, its threshold and a perturbation, and audible excess, in dB."""
    # Clips are 4.26 dB quieter than perturbations, as in the threshold itself.
    powers = (
        perturbation_power(wave, threshold.peak) / (8 / 3),
        threshold.power,
        perturbation_power(delta, threshold.peak),
    )
    levels = jnp.maximum(
        10 * jnp.log10(jnp.maximum(jnp.stack(powers), 1e-30)), _FLOOR_DB
    )
    return jnp.concatenate([levels, levels[2:] - levels[1:2]])


def _draw(system, points, each, path: pathlib.Path) -> None:
    rate = system.representation.sample_rate_hz
    chosen = [p.id for p in of_other_speakers(points, 2)]
    images, names, titles = [], [], []
    for number, point in enumerate(points):
        if point.id not in chosen:
            continue
        wave = jnp.asarray(point.x)
        threshold = masking_threshold(wave, sample_rate_hz=rate)
        for name, heard in each.items():
            it = heard[number]
            images.append(_levels_db(wave, jnp.asarray(it.x_adv) - wave, threshold))
            names.append(name.replace(" ", "\n"))
            titles.append(
                [
                    f"clip\n{point.id}", "masking threshold",
                    f"perturbation\nSNR {it.row.snr_db:.1f} dB",
                    f"above threshold: {100 * it.share:.1f} %",
                ]
            )  # fmt: skip
    figures.image_grid_plot(
        np.stack(images),
        path,
        row_labels=names,
        titles=titles,
        units="dB",
        title="Perturbations of equal l2 norm beside the masking threshold",
        last_is_difference=True,
        difference_units="dB above the threshold",
        frame_s=HOP / rate,
        band_hz=bin_frequencies_hz(rate),
    )


@dataclasses.dataclass(frozen=True)
class Imperceptible(Step):
    """The imperceptible attack beside uniform noise, with a figure and WAVs.

    Attributes:
        num_points: test clips.
        num_steps: of the attack's two stages.
    """

    num_points: int = 10
    num_steps: tuple[int, int] = (200, 800)

    def run(self, job: Job) -> dict[str, Any]:
        """Return the tables; write the figure and the WAVs."""
        system = job.task.at_waveform().resolve()
        points = attacked_points(system, self.num_points)
        summary, each = attack_tables(system, points, job.out, num_steps=self.num_steps)
        heading = (
            "## Imperceptible attack beside noise of equal norm\n\n"
            f"![levels beside the masking threshold]({FIGURE})"
        )
        return {"sections": [(heading, summary), ("### Each clip", each)]}


def radius_table(
    system: System,
    points: Sequence[evaluation.Point],
    *,
    radii: Sequence[float] = RADII,
    shares: Sequence[float] = SHARES,
) -> tuple[tables.Table, dict[str, list[tuple[float, float]]]]:
    """Random perturbations of each norm at the magnitude: audibility and accuracy.

    A perturbation is one of `unit_perturbations`, the same at every radius, times the
    radius. It is resynthesised with the clip's phases; what is heard is its difference
    from the clip resynthesised alike without it.

    Args:
        system: whose network it is.
        points: test points at the waveform.
        radii: l2 norms at the magnitude.
        shares: of the coordinates that are perturbed.

    Returns:
        A row for each share and radius, and the lines of its figure.
    """
    representation = system.representation
    stage, rate = representation.stage(STAGE), representation.sample_rate_hz
    x = features_at(stage, points)
    root = jax.random.key(system.task.seed)
    keys = jnp.stack([evaluation.example_key(root, point.id) for point in points])
    logits_fn, labels = system.classifier.logits_fn(STAGE), [p.label for p in points]
    utterances = [caveats.recording_of(point.id) for point in points]
    originals = [_resynthesise(stage, f, p.x) for f, p in zip(x, points, strict=True)]
    rows, lines = [], {}
    for share in shares:
        count = max(1, round(share * x[0].size))
        units = np.asarray(unit_perturbations(keys, x.shape[1:], count))
        for radius in radii:
            changed = x + np.float32(radius) * units
            delta = [
                _resynthesise(stage, each, point.x) - original
                for each, point, original in zip(
                    changed, points, originals, strict=True
                )
            ]
            heard = np.asarray(
                [
                    float(_audible_share(p.x, p.x + d, rate))
                    for p, d in zip(points, delta, strict=True)
                ]
            )
            norms = np.linalg.norm(np.float64(delta), axis=1)
            snr_db = [
                radius_snr_db(p.x, float(n)) for p, n in zip(points, norms, strict=True)
            ]
            predictions = evaluation.logits_of_batch(logits_fn, changed).argmax(axis=1)
            rows.append(
                [
                    f"{100 * share:g} %", f"{radius:.4g}", f"{norms.mean():.3g}",
                    f"{np.median(snr_db):.1f}", f"{100 * heard.mean():.2f}",
                    *(
                        tables.share_text(clustered_share([hits], utterances))
                        for hits in (heard == 0, predictions == labels)
                    ),
                ]
            )  # fmt: skip
            on = f"on {100 * share:g} % of the entries"
            for name, value in (
                (f"audible share of frames and bins, {on}", heard.mean()),
                (f"accuracy, {on}", np.mean(predictions == labels)),
            ):
                lines.setdefault(name, []).append((radius, float(value)))
    table = tables.Table(
        [
            *("perturbed", "l2 radius", "l2 at waveform", "SNR in dB", "audible %"),
            *("inaudible clips", "accuracy"),
        ],
        rows,
        [
            f"{len(points)} clips, random perturbations of that norm at the {STAGE}, "
            f"on a share of its {x[0].size:,} entries; at the waveform: mean norm and "
            "median SNR of what the resynthesis makes of them",
            "audible: mean share of frames and bins above the masking threshold; "
            "inaudible clips: those without any",
            tables.CLUSTERS_NOTE,
        ],
    )
    return table, lines


def _resynthesise(stage, features, wave) -> Float[np.ndarray, "time"]:
    return waveform_of(stage, features, {stage.chain()[0].name: wave})


@dataclasses.dataclass(frozen=True)
class AudibleRadii(Step):
    """Audibility of random perturbations at the magnitude by their radius.

    Attributes:
        num_points: test clips.
    """

    num_points: int = 40

    def run(self, job: Job) -> dict[str, Any]:
        """Return the table; draw the figure."""
        system = job.task.at_waveform().resolve()
        points = attacked_points(system, self.num_points)
        table, lines = radius_table(system, points)
        figures.line_plot(
            lines,
            job.out / RADII_FIGURE,
            x_label=f"l2 radius at the {STAGE}",
            y_label="share",
            x_scale="log",
            title="Audibility of random perturbations, resynthesised",
        )
        heading = (
            f"## Audible perturbations at the {STAGE}\n\n"
            f"![audible share over the radius]({RADII_FIGURE})"
        )
        return {"sections": [(heading, table)]}
