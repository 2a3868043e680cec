"""Results of contests: ratios by round, tables, figures and JSON."""

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.reports import figures, tables
from advjax.runtime import parallel
from experiments import app
from experiments.benchmarks.work import Turn
from experiments.lab.console import say

_NOTHING: Mapping[str, Any] = {}
_DRAWS = 4000
"""Of the bootstrap, from a fixed seed."""


class Result(NamedTuple):
    """A contestant after the contest.

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
    facts: Mapping[str, Any] = _NOTHING

    def per_unit(self, quantity: str = "wall_s") -> np.ndarray:
        """Seconds a unit of each turn, by "wall_s" or "cpu_s"."""
        return np.array([getattr(turn, quantity) / turn.units for turn in self.turns])

    @property
    def median_s(self) -> float:
        """Seconds a unit in the median turn."""
        return float(np.median(self.per_unit()))

    @property
    def rate(self) -> float:
        """Units a second in the median turn."""
        return 1 / self.median_s


class Contest(NamedTuple):
    """Results that belong together, and what they are of."""

    title: str
    unit: str
    results: tuple[Result, ...]
    facts: Mapping[str, Any] = _NOTHING

    def best(self, *kinds: str) -> Result | None:
        """The fastest of these kinds by the median; None if there is none."""
        some = [result for result in self.results if result.kind in kinds]
        return max(some, key=lambda result: result.rate, default=None)


class Ratio(NamedTuple):
    """Median of the ratios of all rounds, its 95 % interval, and their extremes."""

    value: float
    low: float
    high: float
    least: float
    greatest: float

    def __str__(self) -> str:
        """The value and its interval, as a cell of a table."""
        return f"{self.value:.2f} [{self.low:.2f}, {self.high:.2f}]"


def ratio(result: Result, other: Result, quantity: str = "wall_s") -> Ratio:
    """The speed in multiples of that of `other`, by turns of the same round.

    The interval is the percentile bootstrap of the median (Efron 1979). Of few rounds
    it is no more than their extremes.
    """
    # A single turn stands beside every round of the other.
    rounds = other.per_unit(quantity) / np.maximum(result.per_unit(quantity), 1e-12)
    draws = np.random.default_rng(0).choice(rounds, (_DRAWS, len(rounds)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    found = (np.median(rounds), low, high, rounds.min(), rounds.max())
    return Ratio(*map(float, found))


def table(
    of: Contest,
    against: Mapping[str, str],
    columns: Mapping[str, Callable[[Result], str]] = _NOTHING,
    notes: Sequence[str] = (),
) -> tables.Table:
    """A row for each contestant but the ceiling.

    Args:
        of: what to report.
        against: kinds of rivals, and what their best is called.
        columns: more of them, by header.
        notes: below the table, before the one on turns.
    """
    rivals = {name: of.best(kind) for kind, name in against.items()}
    rivals = {name: rival for name, rival in rivals.items() if rival is not None}
    header = ["contestant", f"{of.unit}/s", "first call, s", "cores", *columns]
    for name in rivals:
        header += [f"times {name}", "by CPU time"]
    rows = []
    for result in of.results:
        if result.kind == "ceiling":
            continue
        busy = result.per_unit("cpu_s") / np.maximum(result.per_unit(), 1e-12)
        rows.append(
            [result.name, f"{result.rate:.4g}", f"{result.first.wall_s:.2f}"]
            + [f"{np.median(busy):.1f}", *(cell(result) for cell in columns.values())]
        )
        for rival in rivals.values():
            rows[-1] += [str(ratio(result, rival)), str(ratio(result, rival, "cpu_s"))]
    return tables.Table(
        header,
        rows,
        [
            *notes,
            rounds_note(of),
            "cores: CPU seconds a second, user and system; by CPU time: the ratio that "
            "other programs on the machine change less",
        ],
    )


def rounds_note(of: Contest) -> str:
    """Below every table."""
    rounds = max(len(result.turns) for result in of.results)
    return (
        f"medians of {rounds} rounds, every round in another order; ratios are of "
        "turns of the same round, in brackets the 95 % interval of their median "
        "(bootstrap)"
    )


def setting(packages: Iterable[str] = (), device: str | None = None) -> dict[str, Any]:
    """Processor, device and versions that figures depend on.

    Args:
        packages: those of the rivals, beside our own; left out where not installed.
        device: where JAX computes; None to ask JAX here.
    """
    if device is None:
        device = app.environment()["device"]
    versions = {}
    for name in ("jax", "jaxlib", "flax", "numpy", "scipy", *packages):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    name, instructions = _processor()
    return {
        "processor": name,
        "instruction_set": instructions,
        "cores": parallel.num_cores(),
        "device": device,
        "python": platform.python_version(),
        "versions": versions,
        "git": app.revision(),
    }


def setting_text(of: Mapping[str, Any]) -> str:
    """A setting in one line."""
    versions = ", ".join(f"{name} {each}" for name, each in of["versions"].items())
    return (
        f"{of['processor']} ({of['instruction_set']}), {of['cores']} cores, JAX on "
        f"{of['device']}; Python {of['python']}; {versions}; commit {of['git']}."
    )


_INSTRUCTIONS = {
    "amx_tile": "AMX", "avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX",
    "sve": "SVE", "asimd": "NEON",
}  # fmt: skip


def _processor() -> tuple[str, str]:
    """The processor's model and its widest instruction set, as far as Linux says."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    about = {
        name.strip(): value.strip()
        for name, _, value in (line.partition(":") for line in reversed(lines))
    }
    known = (about.get("flags") or about.get("Features") or "").split()
    widest = next((name for flag, name in _INSTRUCTIONS.items() if flag in known), "")
    fallback = platform.processor() or platform.machine()
    return about.get("model name", fallback), widest or platform.machine()


Panels = Mapping[str, Mapping[str, Sequence[tuple[float, float]]]]
"""Of a figure by title: points by label."""


def rounds_panels(contests: Iterable[Contest]) -> Panels:
    """Units a second of every contestant, round by round."""
    return {
        of.title: {
            result.name: list(enumerate((1 / result.per_unit()).tolist(), start=1))
            for result in of.results
        }
        for of in contests
    }


def write(
    out: str | os.PathLike[str] | None,
    name: str,
    contests: Sequence[Contest],
    text: str,
    where: Mapping[str, Any],
    *,
    markdown: str | None = None,
    panels: Panels | None = None,
    x_label: str = "round",
    y_label: str | None = None,
) -> str:
    """The whole report; where `out` is given, write it, every turn, and a figure.

    Args:
        out: a folder, or the file for the text, beside which the others go.
        name: of the files, without ending.
        contests: for the JSON file.
        text: in Markdown; the setting is added.
        where: the setting.
        markdown: name of the text's file, if it is another.
        panels: of the figure; default `rounds_panels`. Without results there is none.
        x_label: of the figure.
        y_label: of the figure; default the first contest's units a second.
    """
    text = f"{text.rstrip()}\n\n{setting_text(where)}\n"
    if out is None:
        return text
    folder = pathlib.Path(out)
    if folder.suffix == ".md":
        folder, markdown, name = folder.parent, folder.name, folder.stem
    folder.mkdir(parents=True, exist_ok=True)
    (folder / (markdown or f"{name}.md")).write_text(text, encoding="utf-8")
    save(folder / f"{name}.json", contests, where)
    if panels or any(of.results for of in contests):
        draw(
            folder / f"{name}.png",
            panels or rounds_panels(contests),
            x_label=x_label,
            y_label=y_label or f"{contests[0].unit}/s",
        )
    return text


def draw(path: pathlib.Path, panels: Panels, **labels: str) -> None:
    """Draw panels of lines on logarithmic axes, or say that nothing here draws."""
    try:
        figures.log_log_plot(panels, path, **labels)
    except ModuleNotFoundError as error:
        say(f"no figure: {error.name} is missing")


def save(
    path: pathlib.Path, contests: Sequence[Contest], where: Mapping[str, Any]
) -> None:
    """Write the setting and every turn as JSON."""
    spelled = {
        "setting": where,
        "contests": [
            of._asdict()
            | {
                "results": [
                    result._asdict()
                    | {
                        "first": result.first._asdict(),
                        "turns": [turn._asdict() for turn in result.turns],
                    }
                    for result in of.results
                ]
            }
            for of in contests
        ],
    }
    path.write_text(json.dumps(spelled, indent=1) + "\n", encoding="utf-8")


def load(path: pathlib.Path) -> tuple[tuple[Contest, ...], dict[str, Any]]:
    """The contests and the setting that `save` wrote."""

    def restored(each: dict[str, Any]) -> Result:
        turns = tuple(Turn(**turn) for turn in each.pop("turns"))
        return Result(first=Turn(**each.pop("first")), turns=turns, **each)

    spelled = json.loads(path.read_text(encoding="utf-8"))
    contests = tuple(
        Contest(results=tuple(map(restored, of.pop("results"))), **of)
        for of in spelled["contests"]
    )
    return contests, spelled["setting"]
