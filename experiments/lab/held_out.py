"""Accuracy of a task's classifier on clips that it was not trained on."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.metrics.shares import Share
from experiments.lab.task import System


class Accuracy(NamedTuple):
    """Of a task's classifier on all held-out crops."""

    clean: Share
    noisy: Share
    """Under one draw of the task's noise on each crop."""


def held_out_accuracy(system: System) -> Accuracy:
    """Accuracy of the classifier alone, without smoothing."""
    points = system.test_points(None)
    x = np.stack([point.x for point in points])
    y = np.asarray([point.label for point in points])
    measure = functools.partial(
        evaluation.clean_accuracy, system.classifier, x, y, at=system.stage.name
    )
    key = jax.random.key(system.task.seed)
    shares = measure(), measure(noise=system.noise, key=key)
    return Accuracy(*(Share(round(share * len(y)), len(y)) for share in shares))
