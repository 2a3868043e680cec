"""Strength of attacks: successes and distances by our logits, on the same problem."""

from typing import NamedTuple

import numpy as np

from advjax import evaluation
from advjax.records import spread
from advjax.types import Bounds, LogitsFn
from experiments.lab.task import System

TOLERANCE = 0.02
"""Success rates and median distances that differ by less count as equal."""


def examples(system: System, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Test examples that the network gets right, spread over the split, and labels.

    Raises:
        ValueError: fewer are classified right.
    """
    points = system.test_points(None)
    x = np.stack([point.x for point in points]).astype(np.float32)
    y = np.asarray([point.label for point in points], np.int32)
    right = np.flatnonzero(predictions(system.logits_fn(), x) == y)
    if len(right) < count:
        raise ValueError(
            f"--num_examples={count}: the network gets {len(right)} test examples "
            "right; give at most as many"
        )
    kept = right[spread(len(right), count)]
    return x[kept], y[kept]


class Problem(NamedTuple):
    """Examples and rules that all attacks share.

    Attributes:
        logits_fn: the judge, from one example to logits.
        x: clean examples [examples, *features].
        y: their labels or, if `targeted`, the classes to reach.
        targeted: True if `y` are classes to reach.
        norm: of the distances.
        bounds: least and greatest value of an entry.
        budget: the greatest distance allowed, or None.
    """

    logits_fn: LogitsFn
    x: np.ndarray
    y: np.ndarray
    targeted: bool
    norm: str
    bounds: Bounds
    budget: float | None


class Outcome(NamedTuple):
    """Outcome of an attack on the first examples of a problem.

    Attributes:
        success: [examples], by the problem's logits.
        distance: [examples], in the problem's norm.
    """

    success: np.ndarray
    distance: np.ndarray

    def rate(self, count: int | None = None) -> float:
        """Success rate on the first `count` examples."""
        return float(np.mean(self.success[:count]))

    def median(self, count: int | None = None) -> float:
        """Median distance of the successes among the first `count` examples."""
        found = self.distance[:count][self.success[:count]]
        return float(np.median(found)) if found.size else float("nan")


def judge(problem: Problem, x_adv: np.ndarray) -> Outcome:
    """The outcome of candidates [examples, *features].

    One outside the bounds or the budget is no success.
    """
    count = len(x_adv)
    x, y = problem.x[:count], problem.y[:count]
    top = predictions(problem.logits_fn, x_adv)
    hit = top == y if problem.targeted else top != y
    moved = (x_adv - x).reshape(count, -1).astype(np.float64)
    low, high = problem.bounds
    # Error in float32 of a rival's rescaling to [0, 1] and back.
    rounding = 1e-6 * (high - low)
    distance = {
        "linf": lambda: np.abs(moved).max(axis=1),
        "l2": lambda: np.linalg.norm(moved, axis=1),
        "l0": lambda: (np.abs(moved) > 10 * rounding).sum(axis=1).astype(float),
    }[problem.norm]()
    inside = (x_adv >= low - rounding) & (x_adv <= high + rounding)
    allowed = inside.reshape(count, -1).all(axis=1)
    if problem.budget is not None:
        allowed &= distance <= problem.budget + 2 * rounding
    return Outcome(hit & allowed, distance)


def standing(one: Outcome, other: Outcome, *, by_distance: bool) -> str:
    """The standing of `one` beside `other`: "weaker", "equal" or "stronger".

    It is decided on the examples that both have, by success rate and then by median
    distance, which does not count for attacks within a budget.
    """
    count = min(len(one.success), len(other.success))
    gain = one.rate(count) - other.rate(count)
    if abs(gain) > TOLERANCE:
        return "stronger" if gain > 0 else "weaker"
    if not by_distance or not other.rate(count):
        return "equal"
    ratio = one.median(count) / other.median(count)
    if ratio > 1 + TOLERANCE:
        return "weaker"
    return "stronger" if ratio < 1 - TOLERANCE else "equal"


def predictions(logits_fn: LogitsFn, x: np.ndarray) -> np.ndarray:
    """The class with the largest logit of each example."""
    return evaluation.logits_of_batch(logits_fn, x, batch_size=len(x)).argmax(axis=1)
