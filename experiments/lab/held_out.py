"""Accuracy of a task's classifier on clips that it was not trained on."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.metrics.shares import Share
from experiments.lab import pipeline


class Accuracy(NamedTuple):
    """Of a task's classifier on all held-out crops."""

    clean: Share
    noisy: Share
    """Under one draw of the task's noise on each crop."""


def held_out_accuracy(task: pipeline.Task) -> Accuracy:
    """Accuracy of the classifier alone, without smoothing."""
    points = task.test_points(None)
    x = np.stack([point.x for point in points])
    y = np.asarray([point.label for point in points])
    measure = functools.partial(
        evaluation.clean_accuracy, task.classifier, x, y, at=task.at
    )
    shares = measure(), measure(noise=task.noise, key=jax.random.key(task.seed))
    return Accuracy(*(Share(round(share * len(y)), len(y)) for share in shares))
