"""Results of contests: ratios by round, the table, the figure and the files."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.reports import figures, tables
from advjax.runtime import parallel
from experiments import app
from experiments.benchmarks.work import Turn
from experiments.lab.console import say

_DRAWS = 4000
"""Resamples of the bootstrap, which has a fixed seed."""
_MOST_LINES = 8
"""Of a panel."""


class Result(NamedTuple):
    """Turns of one contestant.

    Attributes:
        name: the contestant's.
        kind: the contestant's.
        first: its first call, which compiles or imports.
        turns: one a round; a single one if it was too slow for more.
        facts: of its work.
    """

    name: str
    kind: str
    first: Turn
    turns: tuple[Turn, ...]
    facts: Mapping[str, Any] = {}

    def per_unit(self, quantity: str = "wall_s") -> np.ndarray:
        """Seconds a unit of each turn, by "wall_s" or "cpu_s"."""
        return np.array([getattr(turn, quantity) / turn.units for turn in self.turns])

    @property
    def median_s(self) -> float:
        """Seconds a unit in the median turn."""
        return self.median()

    def median(self, quantity: str = "wall_s") -> float:
        """Seconds a unit in the median turn, by "wall_s" or "cpu_s"."""
        return float(np.median(self.per_unit(quantity)))

    @property
    def rate(self) -> float:
        """Units a second in the median turn."""
        return 1 / self.median_s


class Contest(NamedTuple):
    """Results of the same work.

    Attributes:
        title: in tables and figures.
        unit: of the work, in the plural.
        results: of all contestants.
        facts: of the contest, as JSON holds them. "ceiling" is the rate, in units a
            second, that the machine permits.
    """

    title: str
    unit: str
    results: tuple[Result, ...]
    facts: Mapping[str, Any] = {}

    def best(self, *kinds: str, by: str = "wall_s") -> Result | None:
        """The fastest of these kinds by the median; None if there is none.

        Args:
            kinds: of contestants.
            by: "wall_s" or "cpu_s".
        """
        some = [result for result in self.results if result.kind in kinds]
        return min(some, key=lambda result: result.median(by), default=None)

    def bests(self) -> list[Result]:
        """The fastest of each kind but the ceiling, in the order of the contest."""
        kinds = dict.fromkeys(result.kind for result in self.results)
        return [self.best(kind) for kind in kinds if kind != "ceiling"]


class Ratio(NamedTuple):
    """Median of the ratios of all rounds, and its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        """The value and its interval, as a cell of a table."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(result: Result, other: Result, quantity: str = "wall_s") -> Ratio:
    """The speed in multiples of that of `other`, by turns of the same round.

    The interval is the percentile bootstrap of the median (Efron 1979). With few rounds
    it reaches to their extremes.
    """
    # A single turn stands beside every round of the other.
    rounds = other.per_unit(quantity) / np.maximum(result.per_unit(quantity), 1e-12)
    draws = np.random.default_rng(0).choice(rounds, (_DRAWS, len(rounds)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return Ratio(float(np.median(rounds)), float(low), float(high))


def table(
    contests: Sequence[Contest],
    against: Mapping[str, Sequence[str]],
    columns: Mapping[str, Callable[[Result], str]] = {},
    notes: Sequence[str] = (),
    *,
    only_best: bool = False,
) -> tables.Table:
    """A row for each contestant of each contest; a ceiling is a column.

    Args:
        contests: to report, of the same unit.
        against: name of a rival, and the kinds of which the fastest is meant.
        columns: further ones: the header, and the cell of a result.
        notes: below the table, before those on its own columns.
        only_best: leave out all but the fastest of each kind.
    """
    titled = len(contests) > 1
    bounded = any("ceiling" in one.facts for one in contests)
    rows = []
    for one in contests:
        every = [result for result in one.results if result.kind != "ceiling"]
        for result in one.bests() if only_best else every:
            busy = result.per_unit("cpu_s") / np.maximum(result.per_unit(), 1e-12)
            cells = [one.title] if titled else []
            cells += [result.name, f"{result.rate:.4g}", f"{result.first.wall_s:.2f}"]
            cells.append(f"{np.median(busy):.1f}")
            if bounded:
                most = one.facts.get("ceiling")
                cells.append(f"{result.rate / most:.2f}" if most else tables.DASH)
            cells += [cell(result) for cell in columns.values()]
            for kinds in against.values():
                rivals = {by: one.best(*kinds, by=by) for by in ("wall_s", "cpu_s")}
                cells += [
                    str(ratio(result, rival, by)) if rival else tables.DASH
                    for by, rival in rivals.items()
                ]
            rows.append(cells)
    header = ["contest"] if titled else []
    header += ["contestant", f"{contests[0].unit}/s", "first call, s", "cores"]
    header += ["of the ceiling"] if bounded else []
    header += columns
    for name in against:
        header += [f"times {name}", "by CPU time"]
    rounds = max(len(result.turns) for one in contests for result in one.results)
    own = [
        f"medians of {rounds} rounds, every round in another order; ratios are of "
        "turns of the same round, in brackets the 95 % interval of their median "
        "(bootstrap)",
        "cores: CPU seconds a second, user and system; by CPU time: the ratio that "
        "other programs on the machine change less, to the rival that is best by it",
    ]
    return tables.Table(header, rows, [*notes, *own])


def setting(packages: Iterable[str] = ()) -> dict[str, Any]:
    """Processor, device and versions, on which the figures depend.

    Args:
        packages: those of the rivals, beside our own; left out where not installed.
    """
    where = app.environment()
    versions = dict(where["versions"])
    for package in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    return where | {
        "cores": parallel.num_cores(),
        "versions": versions,
    }


def signed(shown: str | tables.Table, where: Mapping[str, Any]) -> str:
    """A table, or text, in Markdown, with the setting in its last line."""
    text = shown if isinstance(shown, str) else tables.as_markdown(shown)
    versions = ", ".join(f"{name} {each}" for name, each in where["versions"].items())
    return text + (
        f"\n\n{where['processor']} ({where['instruction_set']}), {where['cores']} "
        f"cores, JAX on {where['device']}; Python {where['python']}; {versions}; "
        f"commit {where['git']}.\n"
    )


def write(
    out: str | os.PathLike[str] | None,
    name: str,
    contests: Sequence[Contest],
    shown: str | tables.Table,
    where: Mapping[str, Any],
    *,
    x: str | None = None,
) -> str:
    """The report in Markdown; where `out` is given, write it, every turn, and a figure.

    Args:
        out: a folder, or the file for the text, beside which the others go.
        name: of the files, without ending.
        contests: for the JSON file and the figure.
        shown: the table, or text in Markdown; the setting is added.
        where: the setting.
        x: the fact of the contests that the figure shows rates over, in a panel for
            each "panel"; by default a panel is a contest, and x the rounds. Of many
            contestants it shows the best of each kind.
    """
    text = signed(shown, where)
    if out is None:
        return text
    folder = pathlib.Path(out)
    if folder.suffix == ".md":
        folder, name = folder.parent, folder.stem
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.md").write_text(text, encoding="utf-8")
    spelled = json.dumps({"setting": where, "contests": _as_json(contests)}, indent=1)
    (folder / f"{name}.json").write_text(spelled + "\n", encoding="utf-8")
    if any(one.results for one in contests):
        try:
            figures.log_log_plot(
                _panels(contests, x),
                folder / f"{name}.png",
                x_label=x or "round",
                y_label=f"{contests[0].unit}/s",
            )
        except ModuleNotFoundError as error:
            say(f"no figure: {error.name} is missing")
    return text


def _as_json(value: Any) -> Any:
    """The value as JSON holds it, named tuples as objects."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, Mapping):
        return {name: _as_json(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_as_json(each) for each in value]
    return value


def _panels(contests: Sequence[Contest], x: str | None) -> dict[str, Any]:
    """Points (x, units a second) by panel and label."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in contests:
        if x is None:
            panels[one.title] = {
                result.name: list(enumerate((1 / result.per_unit()).tolist(), start=1))
                for result in _shown(one)
            }
            continue
        panel = panels.setdefault(one.facts["panel"], {})
        for result in one.bests():
            points = panel.setdefault(result.kind, [])
            panel[result.kind] = sorted([*points, (one.facts[x], result.rate)])
    return panels


def _shown(one: Contest) -> Sequence[Result]:
    """All results, or of more than a figure can tell apart the best of each kind."""
    return one.results if len(one.results) <= _MOST_LINES else one.bests()
