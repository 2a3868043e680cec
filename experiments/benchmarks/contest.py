"""Contestants in turns: how fast each is, and what its results are worth."""

import dataclasses
import importlib.metadata
import os
import pathlib
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import jax
import numpy as np

from advjax.types import Bounds, LogitsFn
from experiments import app

TOLERANCE = 0.02
"""Success rates and median distances that differ by less count as equal."""


class Problem(NamedTuple):
    """The same for all contestants of one attack.

    Attributes:
        logits_fn: the judge: one example to logits.
        x: clean examples [examples, *features].
        y: their labels or, if `targeted`, the classes to reach.
        targeted: which of the two `y` is.
        norm: that of the distances.
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


class Contestant(NamedTuple):
    """`attack` takes clean examples and `y` and gives adversarial examples."""

    name: str
    ours: bool
    attack: Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclasses.dataclass
class Result:
    """What a contestant came to.

    Attributes:
        name: the contestant's.
        ours: whether it is one of ours.
        num_examples: the first so many examples are what it was measured on.
        first_s: seconds of the first call, which compiles.
        turns_s: seconds of the turns after it.
        cpu_s: processor seconds of these, of all threads. They tell what a turn would
            have taken had other programs not run.
        success: [num_examples], by the judge.
        distance: [num_examples], in the problem's norm.
    """

    name: str
    ours: bool
    num_examples: int
    first_s: float
    turns_s: list[float] = dataclasses.field(default_factory=list)
    cpu_s: list[float] = dataclasses.field(default_factory=list)
    success: np.ndarray | None = None
    distance: np.ndarray | None = None

    @property
    def run_s(self) -> float:
        """The median turn."""
        return statistics.median(self.turns_s)

    @property
    def speed(self) -> float:
        """Examples a second in the median turn."""
        return self.num_examples / self.run_s

    def rate(self, count: int) -> float:
        """Success rate on the first `count` examples."""
        return float(self.success[:count].mean())

    def median(self, count: int) -> float:
        """Median distance of what succeeded among the first `count` examples."""
        found = self.distance[:count][self.success[:count]]
        return float(np.median(found)) if found.size else float("nan")


def contest(
    contestants: Sequence[Contestant],
    problem: Problem,
    *,
    num_turns: int,
    limit_s: float,
    slow_examples: int,
    say: Callable[[str], None],
) -> list[Result]:
    """The result of each, measured in turns: the first of all, the second of all, ...

    Each is called once before, a rival on `slow_examples` examples: if all would take
    longer than `limit_s`, so few are what it is measured on, and if already these few
    took longer, the first call is its only turn.
    """
    results = []
    for contestant in contestants:
        x, y = problem.x, problem.y
        if not contestant.ours:
            x, y = x[:slow_examples], y[:slow_examples]
        first_s, cpu_s, x_adv = _timed(contestant, x, y)
        say(f"  {contestant.name}: first call {first_s:.2f} s on {len(x)} examples")
        slow = (
            len(x) < len(problem.x)
            and _longest(contestant, problem, len(x), first_s, limit_s) > limit_s
        )
        result = Result(
            contestant.name,
            contestant.ours,
            len(x) if slow else len(problem.x),
            first_s,
        )
        if slow and first_s > limit_s:
            _note(result, problem, first_s, cpu_s, x_adv)
        results.append(result)
    for turn in range(num_turns):
        for contestant, result in zip(contestants, results, strict=True):
            if result.turns_s == [result.first_s]:
                continue
            count = result.num_examples
            run = _timed(contestant, problem.x[:count], problem.y[:count])
            _note(result, problem, *run)
            say(f"  turn {turn + 1}: {contestant.name} {run[0]:.3f} s")
    return results


def reference(results: Sequence[Result], *, by_distance: bool) -> Result:
    """The fastest of ours among those that are not weaker than the best of ours."""
    ours = [result for result in results if result.ours]
    best = max(ours, key=lambda result: result.rate(result.num_examples))
    equals = [
        result
        for result in ours
        if standing(result, best, by_distance=by_distance) != "weaker"
    ]
    return max(equals, key=lambda result: result.speed)


def standing(result: Result, other: Result, *, by_distance: bool) -> str:
    """Whether `result` is "weaker", "equal" or "stronger" than `other`.

    On the examples that both were measured on, by success rate and then by median
    distance, which does not count for attacks within a budget.
    """
    count = min(result.num_examples, other.num_examples)
    gain = result.rate(count) - other.rate(count)
    if abs(gain) > TOLERANCE:
        return "stronger" if gain > 0 else "weaker"
    if not by_distance or not other.rate(count):
        return "equal"
    ratio = result.median(count) / other.median(count)
    if ratio > 1 + TOLERANCE:
        return "weaker"
    return "stronger" if ratio < 1 - TOLERANCE else "equal"


def best_rival(
    results: Sequence[Result], ours: Result, *, by_distance: bool
) -> Result | None:
    """The fastest rival that is not weaker than `ours`."""
    equals = [
        result
        for result in results
        if not result.ours
        and standing(result, ours, by_distance=by_distance) != "weaker"
    ]
    return max(equals, key=lambda result: result.speed, default=None)


def _longest(
    contestant: Contestant, problem: Problem, few: int, first_s: float, limit_s: float
) -> float:
    """Seconds that all examples may take, judging by a few.

    What works on a batch takes hardly longer for twice as many, and its first call
    imports: where the first call leaves doubt, two more give the slope.
    """
    naive = first_s * len(problem.x) / few
    if naive <= limit_s or first_s > limit_s or 2 * few > len(problem.x):
        return naive
    once, _, _ = _timed(contestant, problem.x[:few], problem.y[:few])
    twice, _, _ = _timed(contestant, problem.x[: 2 * few], problem.y[: 2 * few])
    return twice + (len(problem.x) / few - 2) * max(twice - once, 0.0)


def num_cores() -> int:
    """Those that this process may use, which `taskset` and containers limit."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def setting(packages: Iterable[str]) -> str:
    """What figures depend on, without naming the machine.

    Args:
        packages: those of the rivals, beside our own.
    """
    versions = app.environment()["versions"] | {
        name: importlib.metadata.version(name) for name in packages
    }
    said = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{processor()}, {num_cores()} cores, JAX on {app.environment()['device']}; "
        f"Python {platform.python_version()}; {said}."
    )


def processor() -> str:
    """The processor's model."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    models = (line.split(":", 1)[1].strip() for line in lines if "model name" in line)
    return next(models, platform.processor() or platform.machine())


def _timed(contestant: Contestant, x, y) -> tuple[float, float, np.ndarray]:
    start, cpu_start = time.perf_counter(), time.process_time()
    x_adv = contestant.attack(x, y)
    return time.perf_counter() - start, time.process_time() - cpu_start, x_adv


def _note(
    result: Result, problem: Problem, run_s: float, cpu_s: float, x_adv: np.ndarray
) -> None:
    """Adds a turn, and judges it: what breaks the rules is no success."""
    result.turns_s.append(run_s)
    result.cpu_s.append(cpu_s)
    count = result.num_examples
    x, y = problem.x[:count], problem.y[:count]
    top = np.asarray(logits(problem.logits_fn, x_adv)).argmax(axis=1)
    hit = top == y if problem.targeted else top != y
    moved = (x_adv - x).reshape(count, -1).astype(np.float64)
    low, high = problem.bounds
    # What a rival's rescaling to [0, 1] and back may do to an entry in float32.
    rounding = 1e-6 * (high - low)
    result.distance = {
        "linf": lambda: np.abs(moved).max(axis=1),
        "l2": lambda: np.linalg.norm(moved, axis=1),
        "l0": lambda: (np.abs(moved) > 10 * rounding).sum(axis=1).astype(float),
    }[problem.norm]()
    inside = (x_adv >= low - rounding) & (x_adv <= high + rounding)
    allowed = inside.reshape(count, -1).all(axis=1)
    if problem.budget is not None:
        allowed &= result.distance <= problem.budget + 2 * rounding
    result.success = hit & allowed


@jax.jit
def logits(logits_fn: LogitsFn, x):
    """Those of many examples, [examples, classes]."""
    return jax.vmap(logits_fn)(x)
