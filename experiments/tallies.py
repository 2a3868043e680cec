"""Votes of a point in mid-count, kept beside a run's rows.

A file per process, `votes.json` or `votes-K-of-N.json`: the id of the point at work and
its tally. A new start with any number of processes reads them all. The run's settings,
which are refused when they differ, hold all that the votes depend on.
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
            written = json.loads(path.read_text())
            found[written["id"]] = Tally(
                written["num_selection"],
                tuple(written["selection"]),
                written["num_estimation"],
                tuple(written["estimation"]),
            )
        except (ValueError, KeyError, TypeError):
            continue
    return found


def remove(folder: pathlib.Path) -> None:
    """Nothing; for a run that is finished."""
    for path in folder.glob("votes*.json"):
        path.unlink(missing_ok=True)


def writer(
    folder: pathlib.Path, here: Process, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[str, Tally], None]:
    """What `certify_points` calls after each dispatch; it writes now and then."""
    several = f"-{here.index}-of-{here.count}" if here.count > 1 else ""
    path, last = folder / f"votes{several}.json", clock()

    def note(id: str, tally: Tally) -> None:
        nonlocal last
        if clock() - last < EVERY_S:
            return
        with new_file(path) as aside:
            aside.write_text(json.dumps({"id": id, **tally._asdict()}) + "\n")
        last = clock()

    return note
