"""Votes of points in mid-count, kept beside a run's rows.

A file per process, `votes.json` or `votes-K-of-N.json`: the tallies of the points at
work, by id, and a digest of them. A new start with any number of processes reads them
all. The run's settings, whose differences are refused, hold all that the votes depend
on. A file that was altered, or has no digest as those of earlier versions, is ignored,
and its points are counted anew.
"""

import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Collection, Iterator
from typing import Any, NamedTuple

from advjax.runtime import json_files
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Fields, Integer, Items, Number, Table, Text
from advjax.runtime.parallel import Process
from advjax.runtime.text import printable
from advjax.smoothing import Tally

EVERY_S = 10.0
"""Seconds between two writings, the most that a kill loses."""

_TALLY = Fields(
    {
        "num_selection": Integer(0),
        "selection": Items(Integer(0)),
        "num_estimation": Integer(0),
        "estimation": Items(Integer(0)),
        "lower": Number(0, 1),
        "ceiling": Number(0, 1),
    }
)
_SCHEMA = Fields({"digest": Text(), "points": Table(_TALLY, key=Text(empty=True))})


class Limits(NamedTuple):
    """A run's settings that bound its votes."""

    ids: Collection[str]
    num_classes: int
    num_selection: int
    num_estimation: int


def read(
    folder: pathlib.Path,
    limits: Limits | None = None,
    *,
    note: Callable[[str], None] = lambda text: None,
) -> dict[str, Tally]:
    """The tallies that earlier starts left, by point.

    Args:
        folder: the run's.
        limits: of the run; None for those of any run.
        note: called with a sentence on each file that is ignored.
    """
    found = {}
    for path in sorted(folder.glob("votes*.json")):
        try:
            found |= _read(path, limits)
        except (ValueError, OSError) as error:
            note(f"{error}: its points are counted anew")
    return found


def remove(folder: pathlib.Path) -> None:
    """Remove the files of a run that is finished."""
    for path in folder.glob("votes*.json"):
        path.unlink(missing_ok=True)


def writer(
    folder: pathlib.Path, here: Process, *, clock: Callable[[], float] = time.monotonic
) -> Callable[[str, Tally | None], None]:
    """A function that notes a point's votes, and writes all of them now and then.

    For a point that has its row, its argument is None in place of a tally.
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
        points = {id: tally._asdict() for id, tally in at_work.items()}
        written = {"digest": _digest(points), "points": points}
        with new_file(path) as aside:
            aside.write_text(json.dumps(written) + "\n", encoding="utf-8")
        last = clock()

    return note


def _read(path: pathlib.Path, limits: Limits | None) -> dict[str, Tally]:
    content = json_files.read_json(path, Table())
    if "digest" not in content:
        raise Damaged(f"{printable(str(path))} is of an earlier version")
    json_files.check(content, _SCHEMA, name=path)
    if content["digest"] != _digest(content["points"]):
        raise Damaged(f"{printable(str(path))} is not as it was written")
    found = {}
    for id, tally in content["points"].items():
        votes = {name: tuple(tally[name]) for name in ("selection", "estimation")}
        found[id] = Tally(**tally | votes)
        for complaint in _complaints(id, found[id], limits):
            raise Damaged(
                f"{printable(str(path))} is damaged: {printable(id)!r} {complaint}"
            )
    return found


def _complaints(id: str, tally: Tally, limits: Limits | None) -> Iterator[str]:
    """Complaints about the votes of one point, worst first.

    Copies whose logits are not finite vote for no class, so that votes may be fewer
    than copies.
    """
    halves = (
        (tally.num_selection, tally.selection),
        (tally.num_estimation, tally.estimation),
    )
    for copies, votes in halves:
        if sum(votes) > copies or bool(copies) != bool(votes):
            yield f"has {sum(votes)} votes of {copies}"
    if limits is None:
        return
    if id not in limits.ids:
        yield "is no point of this run"
    most = (limits.num_selection, limits.num_estimation)
    for (copies, votes), limit in zip(halves, most, strict=True):
        if copies > limit:
            yield f"has {copies} votes of {limit}"
        if votes and len(votes) != limits.num_classes:
            yield f"has votes for {len(votes)} classes of {limits.num_classes}"
    if tally.num_estimation and tally.num_selection != limits.num_selection:
        yield "has votes on a class before one was chosen"


def _digest(points: Any) -> str:
    text = json.dumps(points, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
