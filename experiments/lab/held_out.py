"""Accuracy of a task's classifier on clips that it was not trained on.

The clips of a split are never in memory together: those of a few batches are.
"""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Bool, Float, Int

from advjax import evaluation
from advjax.metrics.shares import Share, share_of
from advjax.runs.row_types import Count, Name
from advjax.runs.rows import Schema
from experiments.lab.task import System

_AT_ONCE = 50


class Accuracy(NamedTuple):
    """Of a classifier without smoothing on all held-out crops.

    Attributes:
        clean: without noise.
        noisy: under one draw of the task's noise on each crop.
    """

    clean: Share
    noisy: Share


class PredictionRow(NamedTuple):
    """The prediction of a classifier on a clip, with the recording it is cut from."""

    id: Name
    recording: Name
    label: Count
    predict: Count


PREDICTIONS = Schema(PredictionRow, "predictions", quoted=True)


def predictions(
    system: System, split: str, *, batch_size: int = _AT_ONCE
) -> list[PredictionRow]:
    """The prediction on each clip of a split, in its order."""
    source, logits_fn, found = system.data.split(split), system.logits_fn(), []
    for begin in range(0, len(source), batch_size):
        places = range(begin, min(begin + batch_size, len(source)))
        points = list(system.data.points(system.stage, places, source))
        x = np.stack([point.x for point in points])
        logits = evaluation.logits_of_batch(logits_fn, x, batch_size=batch_size)
        for place, point, row in zip(places, points, logits, strict=True):
            recording = source[place]["speaker"]
            label, predict = int(point.label), int(row.argmax())
            found.append(PredictionRow(point.id, recording, label, predict))
    return found


def held_out_accuracy(system: System) -> Accuracy:
    """Accuracy of the classifier alone, without smoothing."""
    logits_fn = system.logits_fn()
    total = len(system.data.test)
    keys = jax.random.split(jax.random.key(system.task.seed), total)
    draw = jax.jit(jax.vmap(system.noise.sample))
    clean, noisy, done = [], [], 0
    for x, y in clips_in_parts(system, _AT_ONCE):
        copies, done = draw(keys[done : done + len(y)], x), done + len(y)
        clean.append(_is_right(logits_fn, x, y))
        noisy.append(_is_right(logits_fn, np.asarray(copies), y))
    return Accuracy(*(share_of(np.concatenate(each)) for each in (clean, noisy)))


def is_right(system: System, *, batch_size: int) -> Bool[np.ndarray, "clips"]:
    """True for each test clip that is classified right, so many at once."""
    parts = clips_in_parts(system, batch_size)
    logits_fn = system.logits_fn()
    found = [_is_right(logits_fn, x, y, batch_size=batch_size) for x, y in parts]
    return np.concatenate(found)


def clips_in_parts(
    system: System, size: int
) -> Iterator[tuple[Float[np.ndarray, "part *features"], Int[np.ndarray, "part"]]]:
    """Test clips at the stage of the task and their labels, `size` at a time."""
    points = system.each_test_point()
    while part := list(itertools.islice(points, size)):
        yield (
            np.stack([point.x for point in part]),
            np.asarray([point.label for point in part]),
        )


def _is_right(logits_fn, x, y, *, batch_size: int = _AT_ONCE):
    logits = evaluation.logits_of_batch(logits_fn, x, batch_size=batch_size)
    return logits.argmax(axis=1) == y
