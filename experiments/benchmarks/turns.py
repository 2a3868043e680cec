"""Several ways to do the same, timed in turns: what slows the machine slows all."""

import statistics
import time
from collections.abc import Callable, Mapping

from experiments.lab.console import say


def median_seconds(
    ways: Mapping[str, Callable[[], object]], *, turns: int
) -> dict[str, float]:
    """Of each way; all run once before, which compiles them, every second turn back.

    Args:
        ways: what to time, by name.
        turns: timed ones.
    """
    for name, way in ways.items():
        say(f"compiling: {name}")
        way()
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways) if turn % 2 == 0 else list(ways)[::-1]:
            begun = time.perf_counter()
            ways[name]()
            found[name].append(time.perf_counter() - begun)
        say(f"turn {turn + 1} of {turns}")
    return {name: statistics.median(times) for name, times in found.items()}
