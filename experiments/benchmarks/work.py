"""Work of contestants, timed in this process or in one of its own.

This file imports little: a contestant's process holds only what its work needs.
"""

import importlib
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from advjax.runtime.usage import process_peak_bytes


def process_cpu_s() -> float:
    """Seconds of all cores in this process and in those it started that have ended."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


class Work(NamedTuple):
    """Work that is ready to be timed.

    Attributes:
        run: does so many units, waits for the result and returns it. Further
            arguments are those of `Entrant.run`.
        facts: for `check` and reports, as JSON holds them.
        peak_bytes: memory of the work so far.
        cpu_s: seconds of all cores so far.
    """

    run: Callable[..., Any]
    facts: Mapping[str, Any] = {}
    peak_bytes: Callable[[], int] = process_peak_bytes
    cpu_s: Callable[[], float] = process_cpu_s


class Turn(NamedTuple):
    """One timed call.

    Attributes:
        units: of work that it did.
        wall_s: seconds on the clock.
        cpu_s: seconds of all cores, user and system, in all processes of the work and
            in those that it started and that have ended.
        peak_bytes: most memory of the processes so far.
    """

    units: int
    wall_s: float
    cpu_s: float
    peak_bytes: int

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.units / max(self.wall_s, 1e-9)


def measure(work: Work, units: int, more: Mapping[str, Any]) -> tuple[Turn, Any]:
    """Time one call of the work; return the turn and the result."""
    start, cpu_start = time.perf_counter(), work.cpu_s()
    result = work.run(units, **more)
    wall_s, cpu_s = time.perf_counter() - start, work.cpu_s() - cpu_start
    return Turn(units, wall_s, cpu_s, work.peak_bytes()), result


def serve() -> None:
    """Build the work that the first argument names, then take the turns asked for."""
    answers, sys.stdout = sys.stdout, sys.stderr
    spec = json.loads(sys.argv[1])
    module, name = spec["build"]
    work = getattr(importlib.import_module(module), name)(**spec["options"])
    print(json.dumps(dict(work.facts)), file=answers, flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        turn, _ = measure(work, asked.pop("units"), asked)
        print(json.dumps(turn._asdict()), file=answers, flush=True)
