"""The publication's two questions on acoustically near classes, as statistics.

Are pairs of near classes confused, and is it cheaper to lead a clip to a near class?
The distance of two classes is that of their mean log-mel levels.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy import stats

from advjax.metrics.bootstrap import percentile_interval, resampled_weights
from advjax.metrics.clustered import ClusteredMean, Contrast, clustered_difference
from advjax.reports.tables import Table
from advjax.representations import LogMelChunks
from advjax.signal.samples import from_int16, to_int16
from data_prep.silence import without_silence
from experiments.lab.clips import Clips, padded_wave
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.examples import ClipRun
from experiments.studies.sound_events.systems import SoundTask, load_sounds

Distances = Float[np.ndarray, "classes classes"]
NUM_RESAMPLES = 2_000
"""Bootstrap samples of a rank correlation, which has to rank each anew."""


@dataclasses.dataclass(frozen=True)
class ClassDistances(Step):
    """The distances of the classes of the corpus from each other.

    Attributes:
        task: whose corpus it is.
    """

    task: SoundTask

    def run(self, job: Job) -> dict[str, Any]:
        """Return the distances in dB, by class and class."""
        task = self.task
        sounds = load_sounds(task.corpus, task.corpus_dir, task.home)
        return {"distances": class_distances(sounds).round(3).tolist()}


def class_distances(sounds: Clips) -> Distances:
    """Root mean squares over bands of the differences of mean levels, in dB.

    Levels are the networks' log-mels without silence; the mean of a class is that over
    its training clips, each the mean over its frames.
    """
    front_end, means = LogMelChunks(), []
    levels_fn = jax.jit(front_end.levels)
    clips = sounds.splits["train"]
    for clip in clips:
        wave = without_silence(
            from_int16(clip.audio), sample_rate_hz=sounds.sample_rate_hz
        )
        num_frames = max(1, len(wave) // front_end.hop)
        # Few lengths to compile, as in training; the silent frames are left out.
        levels = levels_fn(padded_wave(to_int16(wave), front_end.hop * 64))
        means.append(np.asarray(levels)[:num_frames].mean(axis=0))
    labels, found = np.asarray([clip.label for clip in clips]), np.asarray(means)
    classes = np.stack(
        [found[labels == label].mean(axis=0) for label in range(len(sounds.labels))]
    )
    between = classes[:, None] - classes[None]
    return np.sqrt(np.mean(np.square(between), axis=-1))


def nearest(distances: Distances) -> list[int]:
    """The nearest other class of each class."""
    apart = np.asarray(distances, float).copy()
    np.fill_diagonal(apart, np.inf)
    return apart.argmin(axis=1).tolist()


class Example(NamedTuple):
    """A successful adversarial example.

    Attributes:
        stratum: the network and attack.
        recording: of the clip.
        label: of the clip.
        new: the predicted class.
        snr_db: of the clip to the perturbation.
    """

    stratum: str
    recording: str
    label: int
    new: int
    snr_db: float


def examples_of(
    runs: Sequence[ClipRun], recordings: Mapping[str, str]
) -> list[Example]:
    """The successful examples of runs.

    Args:
        runs: of networks under attacks.
        recordings: by the id of the clip.
    """
    found = []
    for run in runs:
        rows = run.rows.take(run.rows.success)
        columns = (rows.id, rows.label, rows.predict, rows.snr_db)
        for id, label, new, snr_db in zip(*columns, strict=True):
            clip = id.partition(">")[0]
            found.append(
                Example(
                    f"{run.source}/{run.attack}",
                    recordings.get(clip, clip),
                    int(label),
                    int(new),
                    float(snr_db),
                )
            )
    return found


def confused(examples: Sequence[Example], near: Sequence[int]) -> Contrast | None:
    """The share of examples that get the nearest class, minus that by chance.

    By chance a clip gets each class but its own as often as the network gives that
    class to all examples of the attack. Above 0 pairs are confused.

    Args:
        examples: those of a network and attack are a stratum.
        near: the nearest class of each class.

    Returns:
        The difference of shares with its interval over recordings; None without
        examples that chance could move.
    """
    counts: dict[str, np.ndarray] = {}
    for each in examples:
        of = counts.setdefault(each.stratum, np.zeros(len(near)))
        of[each.new] += 1
    hits, expected, recordings = [], [], []
    for each in examples:
        # DeepFool may leave a wrong prediction for the label itself.
        if each.new == each.label:
            continue
        of = counts[each.stratum]
        others = of.sum() - of[each.label]
        hits.append(each.new == near[each.label])
        expected.append(of[near[each.label]] / others)
        recordings.append(each.recording)
    if not hits:
        return None
    return clustered_difference(
        ClusteredMean(np.asarray(hits, float), recordings),
        ClusteredMean(np.asarray(expected), recordings),
    )


def share_near(examples: Sequence[Example], near: Sequence[int]) -> float:
    """The share of examples with another class than the label that get the nearest."""
    moved = [each for each in examples if each.new != each.label]
    return float(np.mean([each.new == near[each.label] for each in moved]))


def cheaper(examples: Sequence[Example], distances: Distances) -> Contrast | None:
    """Minus the rank correlation of SNR with the distance from label to target.

    Above 0 near classes take a smaller perturbation. The coefficient is Spearman's,
    within each network and attack, and then their mean.

    Args:
        examples: of targeted attacks.
        distances: of classes.

    Returns:
        The coefficient, with its interval by bootstrap over recordings; None where no
        network has three examples at different distances.
    """
    names = sorted({each.recording for each in examples})
    places = {name: place for place, name in enumerate(names)}
    strata: dict[str, list[Example]] = {}
    for each in examples:
        strata.setdefault(each.stratum, []).append(each)
    tables = [
        (
            np.asarray([places[each.recording] for each in group]),
            np.asarray([distances[each.label][each.new] for each in group]),
            np.asarray([each.snr_db for each in group]),
        )
        for group in strata.values()
    ]
    tables = [t for t in tables if len(t[0]) >= 3 and np.ptp(t[1]) and np.ptp(t[2])]
    if not tables:
        return None
    weights = resampled_weights(names, num_resamples=NUM_RESAMPLES)
    drawn = np.rint(weights * len(names)).astype(int)
    found = [_mean_correlation(tables, counts) for counts in drawn]
    value = _mean_correlation(tables, np.ones(len(names), int))
    kept = [each for each in found if np.isfinite(each)]
    low, high = percentile_interval(np.asarray(kept))
    return Contrast(-value, -high, -low, len(names))


def _mean_correlation(tables, counts) -> float:
    """The mean over strata of Spearman's coefficient; NaN where all lack spread."""
    found = []
    for places, distance, snr_db in tables:
        rows = np.repeat(np.arange(len(places)), counts[places])
        x, y = distance[rows], snr_db[rows]
        if len(rows) >= 3 and np.ptp(x) and np.ptp(y):
            ranks = np.corrcoef(stats.rankdata(x), stats.rankdata(y))
            found.append(ranks[0, 1])
    return float(np.mean(found)) if found else float("nan")


def table(
    titles: Mapping[str, str],
    untargeted: Mapping[str, Sequence[Example]],
    targeted: Mapping[str, Sequence[Example]],
    distances: Distances,
) -> Table:
    """The two questions, a line for each attack.

    Args:
        titles: of the attacks.
        untargeted: the examples of attacks without a target, by attack.
        targeted: those of attacks with one.
        distances: of classes.
    """
    near, rows = nearest(distances), []
    for name, examples in untargeted.items():
        if found := confused(examples, near):
            value = f"{found.value:+.3f} [{found.low:+.3f}, {found.high:+.3f}]"
            rows.append(
                [
                    *("Are near pairs confused?", titles[name], f"{len(examples)}"),
                    f"{100 * share_near(examples, near):.1f} % get the nearest class",
                    value,
                ]
            )
    for name, examples in targeted.items():
        if found := cheaper(examples, distances):
            value = f"{-found.value:+.3f} [{-found.high:+.3f}, {-found.low:+.3f}]"
            rows.append(
                [
                    *("Is a near pair cheaper?", titles[name], f"{len(examples)}"),
                    "rank correlation of SNR with distance",
                    value,
                ]
            )
    return Table(
        ["question", "attack", "examples", "statistic", "value"],
        rows,
        [
            "distance: root mean square over 64 bands of the difference of the classes'"
            " mean log-mel levels in dB, from training clips without silence",
            "first question: the share that gets the nearest class, minus the share by "
            "chance, as often as the network gives that class to all its examples; "
            "above 0 near pairs are confused",
            "second question: Spearman's coefficient within each network, and the mean "
            "over networks; below 0 near pairs take a smaller perturbation",
            "in brackets or below a value: its 95 % interval, by bootstrap over "
            "recordings, which all networks share",
        ]
        * bool(rows),
    )
