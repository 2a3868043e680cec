"""Interleaved contests: several ways to do the same work, timed in turns.

`contest` starts every `Contestant`, in this process or in processes of its own, lets
`check` compare their results before anything is timed, and then lets them take turns,
every round in another order: what slows the machine slows all alike. `ratio` compares
two results round by round; `results` has it, the tables and the files.
"""

import contextlib
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

_NOTHING: Mapping[str, Any] = {}


class Contestant(NamedTuple):
    """One way to do the work.

    Attributes:
        name: in tables and figures.
        kind: "ours", "ceiling", or a kind of rival; of each kind the fastest counts.
        build: gives the work; a function of a module, where there are processes.
        options: of `build`.
        batch: units of the first call; a process does whole batches.
        num_processes: that share the work at the same time; 0: it is done here.
        environment: variables of these processes that differ; None for one left out.
    """

    name: str
    kind: str
    build: Callable[..., Work]
    options: Mapping[str, Any] = _NOTHING
    batch: int = 1
    num_processes: int = 0
    environment: Mapping[str, str | None] = _NOTHING


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
        contestant: what has started.
        facts: those of its work.
        last: its last call.
        result: of that call, unless other processes did it.
    """

    last: Turn
    result: Any = None

    def __init__(self, contestant: Contestant):
        """Build the work, or start the processes and wait for them."""
        self.contestant = contestant
        self._processes = [_start(contestant) for _ in range(contestant.num_processes)]
        try:
            if self._processes:
                self.facts = self._answers()[0]
            else:
                self._work = contestant.build(**contestant.options)
                self.facts = dict(self._work.facts)
        except BaseException:
            self.__exit__()
            raise

    def run(self, units: int, **more: Any) -> Turn:
        """Time the next call, of at least so many units."""
        if not self._processes:
            self.last, self.result = measure(self._work, units, more)
            return self.last
        batch, count = self.contestant.batch, len(self._processes)
        share = -(-units // count // batch) * batch
        for process in self._processes:
            # One that has ended is told of by the answer that it does not give.
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
                f"the contestant {self.contestant.name!r} ended before its turn: its "
                "own message is above"
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


Size = Callable[[Sequence[Entrant]], Sequence[int]]
"""Units of a turn of each; 0: its last call is its only turn."""


def one_batch(entrants: Sequence[Entrant]) -> list[int]:
    """A batch a turn."""
    return [entrant.contestant.batch for entrant in entrants]


def turns_of(seconds: float) -> Size:
    """Whole batches for about so many seconds, judging by a second call."""

    def size(entrants: Sequence[Entrant]) -> list[int]:
        batches = one_batch(entrants)
        trials = [
            entrant.run(batch) for entrant, batch in zip(entrants, batches, strict=True)
        ]
        return [
            batch * max(1, round(seconds * trial.rate / batch))
            for batch, trial in zip(batches, trials, strict=True)
        ]

    return size


def contest(
    contestants: Iterable[Contestant],
    *,
    rounds: int,
    size: Size = one_batch,
    check: Callable[[Sequence[Entrant]], None] | None = None,
    observe: Callable[[Entrant], None] | None = None,
    settle_s: float = 0.0,
    title: str = "",
) -> tuple[Result, ...]:
    """The results of all contestants, in their order.

    Args:
        contestants: what to time, with different names.
        rounds: turns of each.
        size: units of each one's turns, after `check`.
        check: raises where the first calls have not done the same.
        observe: called after each turn, out of the timed part.
        settle_s: seconds to wait before each turn.
        title: before every line of progress.
    """
    with contextlib.ExitStack() as stack:
        entrants, firsts = [], []
        for contestant in contestants:
            entrants.append(stack.enter_context(Entrant(contestant)))
            firsts.append(entrants[-1].run(contestant.batch))
            first_s = firsts[-1].wall_s
            say(f"{title}  {contestant.name}: first call {first_s:.3g} s")
        if check is not None:
            check(entrants)
        units, turns = list(size(entrants)), [[] for _ in entrants]

        def note(index: int) -> None:
            turns[index].append(entrants[index].last)
            if observe is not None:
                observe(entrants[index])

        racing = [index for index, count in enumerate(units) if count]
        for index in range(len(entrants)):
            if index not in racing:
                note(index)
        for number in range(rounds):
            for place in range(len(racing)):
                index = racing[(number + place) % len(racing)]
                time.sleep(settle_s)
                entrants[index].run(units[index])
                note(index)
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
    found = {}
    for other, array in others:
        if array.shape != first.shape:
            raise ValueError(
                f"{what} of {other!r} have shape {array.shape}, of {name!r} "
                f"{first.shape}: not the same work"
            )
        scale = max(float(np.abs(first).max()), np.finfo(np.float32).tiny)
        found[other] = float(np.abs(array - first).max()) / scale
        if not found[other] <= tolerance:
            raise ValueError(
                f"{what} of {other!r} and {name!r} differ by {found[other]:.1e} of the "
                f"largest; {tolerance:.0e} is allowed: not the same work"
            )
    return found


def probe_device() -> tuple[str, str]:
    """JAX's backend and device, asked of a process: this one stays off both."""
    program = (
        "import jax; print(jax.default_backend()); "
        "print(jax.device_count(), 'x', jax.devices()[0].device_kind)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    backend, device = done.stdout.splitlines()[-2:]
    return backend, device


def _start(contestant: Contestant) -> subprocess.Popen:
    build = contestant.build
    module = build.__module__
    if module == "__main__":
        module = sys.modules[module].__spec__.name
    spec = {"build": [module, build.__qualname__], "options": dict(contestant.options)}
    environment = dict(os.environ)
    for name, value in contestant.environment.items():
        environment.pop(name, None)
        if value is not None:
            environment[name] = value
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            "from experiments.benchmarks import work; work.serve()",
            json.dumps(spec),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        env=environment,
    )
