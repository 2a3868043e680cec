"""Votes of points in mid-count, kept beside a run's rows.

A file per process, `votes.json` or `votes-K-of-N.json`: the tallies of the points at
work, by id. A new start with any number of processes reads them all. The run's
settings, which are refused when they differ, hold all that the votes depend on.
"""

import json
import pathlib
import time
from collections.abc import Callable

from advjax.atomic import new_file
from advjax.parallel import Process
from advjax.smoothing import Tally

EVERY_S = 10.0
"""From one writing to the next: what a kill costs at most."""


def read(folder: pathlib.Path) -> dict[str, Tally]:
    """The tallies that earlier starts left, by point. A file that is none is left."""
    found = {}
    for path in sorted(folder.glob("votes*.json")):
        try:
            written = json.loads(path.read_text(encoding="utf-8"))
            found |= {
                id: Tally(
                    **tally
                    | {name: tuple(tally[name]) for name in ("selection", "estimation")}
                )
                for id, tally in written.items()
            }
        except (ValueError, KeyError, TypeError, AttributeError):
            continue
    return found


def remove(folder: pathlib.Path) -> None:
    """Nothing; for a run that is finished."""
    for path in folder.glob("votes*.json"):
        path.unlink(missing_ok=True)


def writer(
    folder: pathlib.Path, here: Process, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[str, Tally | None], None]:
    """What `certify_points` calls after each dispatch; it writes now and then.

    A point that has its row is given None for a tally, and is forgotten.
    """
    several = f"-{here.index}-of-{here.count}" if here.count > 1 else ""
    path, last = folder / f"votes{several}.json", clock()
    at_work: dict[str, Tally] = {}

    def note(id: str, tally: Tally | None) -> None:
        nonlocal last
        if tally is None:
            at_work.pop(id, None)
            return
        at_work[id] = tally
        if clock() - last < EVERY_S:
            return
        written = {id: tally._asdict() for id, tally in at_work.items()}
        with new_file(path) as aside:
            aside.write_text(json.dumps(written) + "\n", encoding="utf-8")
        last = clock()

    return note
