"""Interleaved contests: several ways to do the same work, timed in turns.

`contest` starts every `Contestant`, in this process or in processes of its own, lets
`check` compare their results before anything is timed, and then lets them take turns.
Every round has another order, so that machine noise hits all contestants alike.
`results` has the ratios, the table and the files.
"""

import contextlib
import functools
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.benchmarks.results import Result
from experiments.benchmarks.work import Turn, Work, measure
from experiments.lab.console import say


class Contestant(NamedTuple):
    """One way to do the work.

    Attributes:
        name: in tables and figures.
        kind: "ours", "ceiling", or a kind of rival.
        build: makes the work; a function of a module, where there are processes.
        options: of `build`.
        batch: units of the first call; a process does whole batches.
        num_processes: that share the work at the same time; 0 for this process.
        environment: variables of these processes that differ; None removes one.
    """

    name: str
    kind: str
    build: Callable[..., Work]
    options: Mapping[str, Any] = {}
    batch: int = 1
    num_processes: int = 0
    environment: Mapping[str, str | None] = {}


def in_process(
    name: str, kind: str, run: Callable[[], Any], *, batch: int = 1
) -> Contestant:
    """A contestant of this process; a call of `run` does `batch` units of the work."""

    def repeat(units: int) -> Any:
        for _ in range(units // batch):
            result = run()
        return result

    return Contestant(name, kind, lambda: Work(repeat), batch=batch)


class Entrant:
    """A contestant that has started; a context that ends its processes.

    Attributes:
        contestant: the contestant.
        last: its last call.
        first: result of its first call, unless other processes did it.
        result: of its last call, likewise.
    """

    last: Turn
    first: Any = None
    result: Any = None

    def __init__(self, contestant: Contestant):
        """Start the processes, if any; `wait` waits for them."""
        self.contestant = contestant
        self._processes = [_start(contestant) for _ in range(contestant.num_processes)]

    @functools.cached_property
    def facts(self) -> dict[str, Any]:
        """Facts of the work, once it is built."""
        if self._processes:
            return self._answers()[0]
        self._work = self.contestant.build(**self.contestant.options)
        return dict(self._work.facts)

    def wait(self) -> None:
        """Build the work, or wait until the processes have built theirs.

        Raises:
            ValueError: a process ended.
        """
        _ = self.facts

    def run(self, units: int, **more: Any) -> Turn:
        """Time the next call, of at least so many units, once the work is built."""
        self.wait()
        if not self._processes:
            self.last, self.result = measure(self._work, units, more)
            self.first = self.result if self.first is None else self.first
            return self.last
        batch, count = self.contestant.batch, len(self._processes)
        share = -(-units // count // batch) * batch
        for process in self._processes:
            # `_answers` reports a process that has ended.
            with contextlib.suppress(BrokenPipeError):
                process.stdin.write(json.dumps({"units": share} | more) + "\n")
                process.stdin.flush()
        turns = [Turn(**answer) for answer in self._answers()]
        self.last = Turn(
            sum(turn.units for turn in turns),
            max(turn.wall_s for turn in turns),
            sum(turn.cpu_s for turn in turns),
            sum(turn.peak_bytes for turn in turns),
        )
        return self.last

    def _answers(self) -> list[dict[str, Any]]:
        lines = [process.stdout.readline() for process in self._processes]
        if not all(lines):
            raise ValueError(
                f"the process of the contestant {self.contestant.name!r} ended before "
                "its turn: its own message is above"
            )
        return [json.loads(line) for line in lines]

    def __enter__(self) -> "Entrant":
        """Itself."""
        return self

    def __exit__(self, *error: object) -> None:
        """End the processes."""
        for process in self._processes:
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(contestant: Contestant) -> subprocess.Popen:
    build = contestant.build
    module = build.__module__
    if module == "__main__":
        module = sys.modules[module].__spec__.name
    spec = {"build": [module, build.__qualname__], "options": dict(contestant.options)}
    environment = os.environ | contestant.environment
    program = "from experiments.benchmarks import work; work.serve()"
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env={name: value for name, value in environment.items() if value is not None},
    )


Size = Callable[[Sequence[Entrant]], Sequence[int]]
"""Units of a turn of each; 0 for one whose last call is its only turn."""


def one_batch(entrants: Sequence[Entrant]) -> list[int]:
    """A batch a turn."""
    return [entrant.contestant.batch for entrant in entrants]


def turns_of(seconds: float) -> Size:
    """Whole batches for about so many seconds, estimated from a second call."""

    def size(entrants: Sequence[Entrant]) -> list[int]:
        units = []
        for entrant, batch in zip(entrants, one_batch(entrants), strict=True):
            rate = entrant.run(batch).rate
            units.append(batch * max(1, round(seconds * rate / batch)))
        return units

    return size


def contest(
    contestants: Iterable[Contestant],
    *,
    rounds: int,
    size: Size = one_batch,
    check: Callable[[Sequence[Entrant]], None] | None = None,
    settle_s: float = 0.0,
    title: str = "",
) -> tuple[Result, ...]:
    """The results of all contestants, in their order.

    Args:
        contestants: ways to do the same work, with different names.
        rounds: turns of each.
        size: units of each one's turns, after `check`.
        check: raises where the first calls have not done the same.
        settle_s: seconds to wait before each turn.
        title: before every line of progress.
    """
    with contextlib.ExitStack() as stack:
        entrants = [stack.enter_context(Entrant(one)) for one in contestants]
        # Processes start side by side; a first call is timed once all have started.
        for entrant in entrants:
            entrant.wait()
        firsts = []
        for entrant in entrants:
            firsts.append(entrant.run(entrant.contestant.batch))
            first_s = firsts[-1].wall_s
            say(f"{title}  {entrant.contestant.name}: first call {first_s:.3g} s")
        if check is not None:
            check(entrants)
        units = size(entrants)
        turns: list[list[Turn]] = [
            [] if count else [entrant.last]
            for entrant, count in zip(entrants, units, strict=True)
        ]
        racing = [index for index, count in enumerate(units) if count]
        for number in range(rounds):
            for place in range(len(racing)):
                index = racing[(number + place) % len(racing)]
                time.sleep(settle_s)
                turns[index].append(entrants[index].run(units[index]))
            rates = (
                f"{entrants[index].contestant.name} {turns[index][-1].rate:.4g}"
                for index in racing
            )
            say(f"{title}  round {number + 1}, a second: {', '.join(rates)}")
        return tuple(
            Result(*entrant.contestant[:2], first, tuple(own), entrant.facts)
            for entrant, first, own in zip(entrants, firsts, turns, strict=True)
        )


def differences(
    arrays: Mapping[str, Any], tolerance: float, what: str = "results"
) -> dict[str, float]:
    """Greatest difference of each from the first, relative to the first's largest.

    Raises:
        ValueError: a shape is another, or a difference is greater than `tolerance`.
    """
    (name, first), *others = ((by, np.asarray(each)) for by, each in arrays.items())
    scale = max(float(np.abs(first).max()), np.finfo(np.float32).tiny)
    greatest = {}
    for other, array in others:
        if array.shape != first.shape:
            raise ValueError(
                f"{what} of {other!r} have shape {array.shape}, of {name!r} "
                f"{first.shape}: not the same work"
            )
        greatest[other] = float(np.abs(array - first).max()) / scale
        if not greatest[other] <= tolerance:
            raise ValueError(
                f"{what} of {other!r} and {name!r} differ by {greatest[other]:.1e} of "
                f"the largest; {tolerance:.0e} is allowed: not the same work"
            )
    return greatest
