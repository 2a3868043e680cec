"""The weights of the best validated steps, on the host, and their mean."""

from collections.abc import Mapping

import jax
import numpy as np

from advjax.training.checkpoints import Log
from advjax.types import PyTree


def begin(variables: PyTree, num_averaged: int) -> PyTree:
    """Initial weights, as many as are averaged; one alone is the tree itself."""
    if num_averaged == 1:
        return variables
    return {str(slot): variables for slot in range(num_averaged)}


def keep(best: PyTree, newest: PyTree, log: Log, num_averaged: int) -> PyTree:
    """The best weights after the newest validation of `log`.

    Args:
        best: before it.
        newest: the weights that were validated.
        log: its last validation is the newest; what is kept is recorded there.
        num_averaged: most weights that are kept.
    """
    if num_averaged == 1:
        is_best = log.best_step == log.history[-1]["step"]
        return jax.device_get(newest) if is_best else best
    slot = free_slot(log, num_averaged)
    return best if slot is None else best | {str(slot): jax.device_get(newest)}


def mean(best: PyTree, log: Log, num_averaged: int) -> PyTree:
    """The mean of the kept weights; batch statistics are averaged like weights."""
    if num_averaged == 1:
        return best
    kept = [best[str(slot)] for slot in range(len(log.kept))]
    return jax.tree.map(lambda *each: np.mean(each, axis=0), *kept)


def free_slot(log: Log, num_slots: int) -> int | None:
    """The place for the weights of the newest validation, recorded in `log`.

    None where all kept ones are at least as good. Ties go to the smaller loss, as for
    the best weights, and then to the earlier step.
    """

    def merit(each: Mapping[str, float]) -> tuple[float, float]:
        return each["accuracy"], -each["loss"]

    newest = log.history[-1]
    if len(log.kept) < num_slots:
        log.kept.append(newest)
        return len(log.kept) - 1
    worst = min(range(num_slots), key=lambda slot: merit(log.kept[slot]))
    if merit(newest) <= merit(log.kept[worst]):
        return None
    log.kept[worst] = newest
    return worst
