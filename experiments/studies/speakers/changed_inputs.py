"""A network on inputs it was not trained on: random perturbations, other front ends.

Two tables of O'Reilly (2020): accuracy under random perturbations of a given l2 norm,
on few coordinates or on all of them, and behind another STFT, with the distance by
which it moves the network's input. Points are waveforms, as `System.test_points` of a
task at the waveform gives them.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax import evaluation, smoothing
from advjax.metrics.distortion import radius_snr_db
from advjax.metrics.shares import share_of
from advjax.reports import tables
from advjax.representations import Representation
from advjax.runs.row_types import Run
from advjax.types import Key
from experiments.lab.task import System

SHARES = (0.01, 0.1, 1.0)

# Options of the magnitude spectrogram that keep 160 frames of 25,800 samples (360 to
# 519 samples in a frame). The first two move LibriSpeech about as far as the
# publication's other STFT did, windows three times as far.
FRONT_ENDS = (
    {"frame_length": 416},
    {"frame_length": 384},
    {"frame_length": 360},
    {"num_fft": 1024},
    {"frame_length": 480},
    {"window": "hamming"},
    {"window": "hann"},
)
# Source: the publication's page, "Evaluating Guarantees". It does not say what
# differed; the network was that of 921 speakers, whose accuracy was 0.96.
PUBLISHED_FRONT_END = ("publication's, unnamed", "12", "", "", "0.964", "")
NUM_ESTIMATION, ALPHA = 10_000, 1e-3
"""Votes and failure probability of the certificates that front ends are compared to."""


def perturbation_table(
    system: System,
    points: Sequence[evaluation.Point],
    stage: str,
    *,
    norms: Sequence[float] | None = None,
    shares: Sequence[float] = SHARES,
) -> tables.Table:
    """Accuracy under random perturbations at a stage: rows are norms, columns shares.

    As in the publication's figure, a share of the coordinates is drawn, then uniform
    values on them, scaled to the norm. A point keeps its draw through all norms.

    Args:
        system: whose network it is.
        points: test points at the waveform.
        stage: where the perturbation enters.
        norms: l2, in the units of the stage; default: powers of 2 from 0.5 to about
            the mean norm of the points there.
        shares: of the coordinates; at least one coordinate is perturbed.

    Raises:
        ValueError: no such stage, or a share that is not in (0, 1].
    """
    if not all(0 < share <= 1 for share in shares):
        raise ValueError(f"shares of coordinates lie in (0, 1], not {list(shares)}")
    x = features_at(system.representation.stage(stage), points)
    length = np.linalg.norm(x.reshape(len(x), -1), axis=1).mean()
    if norms is None:
        norms = 2.0 ** np.arange(-1, max(np.rint(np.log2(length)), -1) + 1)
    logits_fn = system.classifier.logits_fn(stage)
    root = jax.random.key(system.task.seed)
    keys = jnp.stack([evaluation.example_key(root, point.id) for point in points])
    counts = [max(1, round(share * x[0].size)) for share in shares]
    units = [np.asarray(unit_perturbations(keys, x.shape[1:], n)) for n in counts]

    def accuracy(changed):
        return _accuracy(_predictions(logits_fn, changed), points)

    rows = [["0", "inf", *[accuracy(x)] * len(shares)]]
    for norm in norms:
        snr = np.mean([radius_snr_db(each, float(norm)) for each in x])
        cells = [accuracy(x + np.float32(norm) * unit) for unit in units]
        rows.append([f"{norm:g}", f"{snr:.1f}", *cells])
    return tables.Table(
        ["l2 norm", "SNR in dB", *(f"on {100 * share:g} %" for share in shares)],
        rows,
        [
            f"perturbed at the {stage}, on a share of its {x[0].size:,} coordinates; "
            f"accuracy on {len(points)} crops, whose mean norm there is "
            f"{length:.1f}; SNR: mean over the crops",
            tables.INTERVAL_NOTE,
        ],
    )


@functools.partial(jax.jit, static_argnums=1)
def unit_perturbations(
    keys: Key, shape: tuple[int, ...], num_coordinates: int
) -> Float[Array, "examples *features"]:
    """A random perturbation of l2 norm 1 for each key, on `num_coordinates` entries.

    Uniform values, on entries drawn without replacement.
    """

    def one(key):
        key_place, key_value = jax.random.split(key)
        size = math.prod(shape)
        chosen = jax.random.permutation(key_place, size) < num_coordinates
        drawn = jax.random.uniform(key_value, (size,), minval=-1.0, maxval=1.0)
        delta = jnp.where(chosen, drawn, 0.0)
        return (delta / jnp.sqrt(jnp.sum(jnp.square(delta)))).reshape(shape)

    return jax.vmap(one)(keys)


def front_end_table(
    system: System,
    points: Sequence[evaluation.Point],
    *,
    front_ends: Sequence[Mapping[str, object]] = FRONT_ENDS,
) -> tables.Table:
    """A network behind front ends that it was not trained on: a row for each.

    Beside each distance stands the least sigma whose largest certificate reaches it.

    Args:
        system: whose network it is; its input is made from magnitude spectrograms.
        points: test points at the waveform.
        front_ends: options of `Magnitude` that differ from the network's own.

    Raises:
        ValueError: the input is not made from magnitudes, or a front end changes its
            shape.
    """
    representation = system.representation
    logits_fn = system.classifier.logits_fn(representation.name)
    # Before any work, so that a wrong one does not cost a wait.
    others = [alternate(representation, **options) for options in front_ends]
    own = features_at(representation, points)
    before = _predictions(logits_fn, own)
    factor = smoothing.max_radius(1.0, NUM_ESTIMATION, ALPHA)
    rows = [["the network's own", "0", "0", "", _accuracy(before, points), ""]]
    for options, other in zip(front_ends, others, strict=True):
        x = features_at(other, points)
        after = _predictions(logits_fn, x)
        distance = np.linalg.norm((x - own).reshape(len(x), -1), axis=1)
        numbers = (distance.mean(), distance.max(), distance.mean() / factor)
        rows.append(
            [
                ", ".join(f"{name}={value}" for name, value in options.items()),
                *(f"{number:.2f}" for number in numbers),
                _accuracy(after, points),
                tables.share_text(share_of(after == before)),
            ]
        )
    if representation.name == "mfbe":
        rows.append(PUBLISHED_FRONT_END)
    notes = [
        f"{len(points)} crops; l2: from the network's own features, in units of "
        f"{representation.name}; same answer: as behind its own front end",
        "σ needed: noise whose largest certificate is the mean l2, with "
        f"n = {NUM_ESTIMATION:,} and alpha = {ALPHA:g}",
        tables.INTERVAL_NOTE,
    ]
    header = ["front end", "mean l2", "max l2", "σ needed", "accuracy", "same answer"]
    return tables.Table(header, rows, notes)


def certified_below(table: tables.Table, runs: Sequence[Run]) -> tables.Table:
    """A table of front ends with certified runs, at the network's input, below."""
    rows = list(table.rows)
    for run in runs:
        radius = run.cap if np.isfinite(run.cap) else float(run.rows.radius.max())
        # Equal but for rounding: the radius came from a vote table, the cap from a
        # formula.
        reached = run.rows.radius >= radius * (1 - 1e-9)
        share = tables.share_text(share_of(run.rows.correct & reached))
        rows.append([f"certified, {run.label}", "", f"{radius:.2f}", "", share, ""])
    note = (
        "certified: the largest radius that a run tested, and its certified accuracy "
        "there"
    )
    notes = [*table.notes, note] if runs else table.notes
    return table._replace(rows=rows, notes=notes)


def alternate(representation: Representation, **options: object) -> Representation:
    """The same representation over a magnitude spectrogram with other options.

    Raises:
        ValueError: it is not made from magnitudes, an unknown option, or a change of
            shape, which the network could not take in.
    """
    source = representation.source
    if source is None or source.name != "magnitude":
        raise ValueError(
            f"{representation.name} is not made from magnitude spectrograms, so others "
            "cannot take their place: choose --features=mfbe or logmel"
        )
    spelled = ", ".join(f"{name}={value!r}" for name, value in options.items())
    try:
        other = dataclasses.replace(source, **options)
    except TypeError as error:
        raise ValueError(f"no front end with {spelled}: {error}") from error
    changed = dataclasses.replace(representation, source=other)
    if changed.feature_shape != representation.feature_shape:
        raise ValueError(
            f"the front end with {spelled} gives {changed.feature_shape}, and the "
            f"network takes {representation.feature_shape}"
        )
    return changed


def features_at(
    stage: Representation, points: Sequence[evaluation.Point]
) -> Float[np.ndarray, "examples *features"]:
    """The stage's arrays of points that are waveforms.

    Raises:
        ValueError: there are none, or they are at another stage.
    """
    if not points:
        raise ValueError("no points to change: give at least one point")
    for point in points:
        if point.x.shape != (stage.num_samples,):
            raise ValueError(
                f"point {point.id} has shape {point.x.shape} and is no waveform of "
                f"{stage.num_samples} samples: take the points of a task at 'waveform'"
            )
    return np.stack([np.asarray(_apply(stage, point.x)) for point in points])


def _predictions(logits_fn, x):
    return evaluation.logits_of_batch(logits_fn, x).argmax(axis=1)


def _accuracy(predictions, points) -> str:
    return tables.share_text(share_of(predictions == [point.label for point in points]))


_apply = jax.jit(lambda stage, wave: stage.apply(wave), static_argnums=0)
