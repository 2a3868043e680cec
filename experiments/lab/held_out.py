"""Accuracy of a task's classifier on clips that it was not trained on."""

from typing import NamedTuple

import jax
import numpy as np

from advjax import evaluation
from advjax.metrics.shares import Share
from experiments.lab.task import System


class Accuracy(NamedTuple):
    """Of a classifier without smoothing on all held-out crops.

    Attributes:
        clean: without noise.
        noisy: under one draw of the task's noise on each crop.
    """

    clean: Share
    noisy: Share


def held_out_accuracy(system: System) -> Accuracy:
    """Accuracy of the classifier alone, without smoothing."""
    points = system.test_points(None)
    x = np.stack([point.x for point in points])
    y = np.asarray([point.label for point in points])
    noise = {"noise": system.noise, "key": jax.random.key(system.task.seed)}
    shares = (
        evaluation.clean_accuracy(system.classifier, x, y, at=system.stage.name, **more)
        for more in ({}, noise)
    )
    return Accuracy(*(Share(round(share * len(y)), len(y)) for share in shares))
