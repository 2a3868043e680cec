"""Contestants of a part, timed one after the other; one that fails is a row."""

import contextlib
from collections.abc import Callable, Iterable, Iterator

from advjax.runtime import targets
from experiments.benchmarks import harness
from experiments.benchmarks.harness import Contestant, Entrant
from experiments.benchmarks.parts import Row
from experiments.benchmarks.parts.processes import failure
from experiments.benchmarks.results import Result

ROUNDS = 3
TURN_S = 0.5
"""A dispatch on an accelerator takes milliseconds, and no neighbour slows it."""

Check = Callable[[Entrant, Entrant], None]
"""Raises where the work of the second is not that of the first."""


def race(
    contestants: Iterable[tuple[str, Contestant]],
    unit: str,
    *,
    check: Check | None = None,
    figure: Callable[[Entrant, Result], float] = lambda entrant, result: result.rate,
    note: Callable[[Entrant], str] = lambda entrant: "",
) -> Iterator[Row]:
    """Yield a row for each; on an accelerator all processes start at once.

    Args:
        contestants: each with its work.
        unit: of the rates.
        check: compares each but the ceilings with the first of them.
        figure: of the row; by default the rate.
        note: of an entrant whose turns are over.
    """
    with contextlib.ExitStack() as stack:
        entrants = (
            (work, stack.enter_context(Entrant(each))) for work, each in contestants
        )
        first = None
        for work, entrant in entrants if targets.on_cpu() else list(entrants):
            name, kind = entrant.contestant[:2]
            try:
                entrant.wait()
                if check is not None and kind != "ceiling":
                    first = first or entrant
                    check(first, entrant)
                result = timed(entrant)
                yield Row(
                    work, name, kind, figure(entrant, result), f"{unit}/s",
                    result.first.wall_s, note(entrant),
                )  # fmt: skip
            except Exception as error:  # the others go on
                yield failure(work, name, error)
            entrant.__exit__()


def timed(entrant: Entrant) -> Result:
    """The turns of one."""
    contestant = entrant.contestant
    first = entrant.run(contestant.batch)
    (units,) = harness.turns_of(TURN_S)([entrant])
    turns = tuple(entrant.run(units) for _ in range(ROUNDS))
    return Result(contestant.name, contestant.kind, first, turns, entrant.facts)
