"""Studies as grids: cells that run once and resume, and one report of what is finished.

A study is plain data: its cells, presets, a task and steps for each cell, and a report.

    STUDY = grid.Study(
        name="trainings",
        cells=lambda preset: cells.product(training=("plain", "macer")),
        presets=presets.PRESETS,
        task=lambda cell, preset: Task(home=home, defence=cell["training"]),
        steps=lambda cell, preset: {"certified": steps.Certify(...)},
        report=lambda found: ["# Trainings", ...],
    )

Each cell has a folder below `cells`. Its `cell.json` has the settings of the cell and,
of each finished step, the result and its cost: files alone tell what is left to do.
"""

import dataclasses
import io
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from advjax.reports import tables
from advjax.runs import descriptions
from advjax.runtime.atomic import new_file
from advjax.runtime.progress import Progress, duration
from experiments.lab import cell_files
from experiments.lab.cells import Cell, choose
from experiments.lab.console import say

if TYPE_CHECKING:
    from experiments.lab.task import System, Task


class Cost(NamedTuple):
    """Expected cost of a cell, as measured once.

    Attributes:
        seconds: on that machine.
        machine: in words.
        gib: peak memory of the program, where it was measured.
    """

    seconds: float
    machine: str
    gib: float | None = None


@dataclasses.dataclass
class Job:
    """A cell at work.

    Attributes:
        cell: the cell.
        task: its task; None for a cell that has none.
        folder: its folder.
        out: the folder of the study.
        environment: where results come from.
    """

    cell: Cell
    task: "Task | None"
    folder: pathlib.Path
    out: pathlib.Path
    environment: Mapping[str, Any]
    _system: "System | None" = None

    def resolve(self) -> "System":
        """The classifier and its data, built and trained if need be."""
        if self._system is None:
            self._system = self.task.resolve()
        return self._system


class Step:
    """A piece of work in a cell: a frozen dataclass whose fields are its settings."""

    def given(self, job: Job) -> Any:
        """Results of other cells that this one depends on; new ones run it again."""
        return None

    def run(self, job: Job) -> Mapping[str, Any] | None:
        """Do what is missing of the work; return results for `cell.json`, if any."""
        raise NotImplementedError


class Found(NamedTuple):
    """The finished cells of a study.

    Attributes:
        out: the folder of the study, for its figures.
        preset: the sizes of the study.
        cells: the folder of each finished cell, in the order of the grid.
    """

    out: pathlib.Path
    preset: Any
    cells: Mapping[Cell, pathlib.Path]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study:
    """A grid of cells and its report.

    Attributes:
        name: of the study.
        cells: gives the cells, in the order in which they run.
        presets: sizes by name.
        task: gives the task of a cell, or None.
        steps: gives the steps of a cell by name, in their order.
        report: yields the parts of study.md, and draws its figures.
        sized: what flags make of a preset.
        together: axes whose cells one start takes all of with --share.
        costs: of a cell, by preset.
        complete: whether the folder of a cell without a `cell.json`, as earlier
            versions left it, can be reported.
    """

    name: str
    cells: Callable[[Any], Sequence[Cell]]
    presets: Mapping[str, Any]
    task: Callable[[Cell, Any], "Task | None"]
    steps: Callable[[Cell, Any], Mapping[str, Step]]
    report: Callable[[Found], Iterable[str]]
    sized: Callable[[Any], Any] = lambda preset: preset
    together: Sequence[str] = ()
    costs: Mapping[str, Cost] = dataclasses.field(default_factory=dict)
    complete: Callable[[pathlib.Path], bool] = lambda folder: False


class Choice(NamedTuple):
    """The part of a study to run.

    Attributes:
        out: the folder of the study.
        cells: names of cells with wildcards, separated by commas.
        share: "I/N": of what is shared, every N-th one, from the I-th one on.
        preset: the name of the sizes.
        dry_run: only say what there is to do.
    """

    out: pathlib.Path
    cells: str = "*"
    share: str = "0/1"
    preset: str = "small"
    dry_run: bool = False


def run(study: Study, choice: Choice, environment: Mapping[str, Any]) -> None:
    """Run the chosen cells that are not finished, and report after each.

    Raises:
        ValueError: a choice that fits no cell, or a cell of other settings.
    """
    if choice.preset not in study.presets:
        known = ", ".join(study.presets)
        raise ValueError(f"--preset={choice.preset}: this study has {known}")
    say(f"preset      {choice.preset} (--preset: {', '.join(study.presets)})")
    grid = _Grid(study, choice, study.sized(study.presets[choice.preset]), environment)
    chosen = choose(grid.cells, choice.cells, choice.share, study.together)
    if choice.dry_run:
        print(plan([*map(grid.state, chosen)], study.costs.get(choice.preset)))
        return
    left = [cell for cell in chosen if grid.state(cell).left]
    say(f"study       {choice.out}: {len(left)} of {len(chosen)} cells to run")
    # Only its estimate is shown: cells have progress lines of their own.
    pace = Progress("cells", total=len(left), unit="cells", stream=io.StringIO())
    with pace:
        for cell in chosen:
            # Cells before may have given this one more to work on.
            if not grid.state(cell).left:
                continue
            ahead = pace.remaining_s
            more = "" if ahead is None else f", about {duration(ahead)} left"
            number = min(pace.done + 1, len(left))
            say(f"cell        {number} of {len(left)}: {cell.path}{more}")
            grid.run(cell)
            grid.write_report()
            pace.advance()
    print(grid.report(), end="")


class State(NamedTuple):
    """The progress of a cell.

    Attributes:
        cell: the cell.
        left: names of the steps to run.
        done: names of the finished steps.
        seconds: spent on these.
        gib: their peak memory.
    """

    cell: Cell
    left: Sequence[str]
    done: Sequence[str]
    seconds: float
    gib: float


class _Grid:
    """The cells of a study in its folder, at one preset."""

    def __init__(self, study: Study, choice: Choice, preset: Any, environment):
        self.study, self.out, self.preset = study, choice.out, preset
        self.cells = list(study.cells(preset))
        self.environment = environment
        names = [cell.path for cell in self.cells]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(
                f"two cells are called {', '.join(twice)}; give each start an --out of "
                "its own"
            )

    def job(self, cell: Cell) -> Job:
        task = self.study.task(cell, self.preset)
        return Job(cell, task, self.folder(cell), self.out, self.environment)

    def folder(self, cell: Cell) -> pathlib.Path:
        return self.out / "cells" / cell.path

    def state(self, cell: Cell) -> State:
        """The progress of a cell, by its file.

        Raises:
            ValueError: a step was done with other settings.
        """
        job, file = self.job(cell), cell_files.read(self.folder(cell))
        steps, kept = self.study.steps(cell, self.preset), file["steps"]
        if lines := self._differences(job, file, steps):
            raise ValueError(
                f"{job.folder} was made with other settings:\n"
                + "\n".join(lines)
                + "\nGive the same flags again or another --out, or remove it."
            )
        done = [
            name
            for name, step in steps.items()
            if name in kept and cell_files.plain(step.given(job)) == kept[name]["given"]
        ]
        return State(
            cell,
            [name for name in steps if name not in done],
            done,
            sum(kept[name]["seconds"] for name in done),
            max((kept[name]["peak_gib"] for name in done), default=0.0),
        )

    def run(self, cell: Cell) -> None:
        """Run what is left of a cell."""
        left, job = self.state(cell).left, self.job(cell)
        steps = self.study.steps(cell, self.preset)
        for name in left:
            begun, given = time.perf_counter(), steps[name].given(job)
            result = steps[name].run(job)
            step = {
                "settings": steps[name],
                "given": given,
                "result": result or {},
                "seconds": round(time.perf_counter() - begun, 3),
                "environment": self.environment,
            }
            task = cell_files.plain(job.task)
            cell_files.add(job.folder, task, name, cell_files.plain(step))
        import jax

        # Programs of one cell hardly serve another, and hold half a gigabyte.
        jax.clear_caches()

    def write_report(self) -> None:
        """Write study.md and its figures from all finished cells."""
        self.out.mkdir(parents=True, exist_ok=True)
        parts = self.study.report(Found(self.out, self.preset, self.finished()))
        text = "\n\n".join(part for part in parts if part).rstrip() + "\n"
        with new_file(self.out / "study.md") as aside:
            aside.write_text(text, encoding="utf-8")

    def report(self) -> str:
        """The text of study.md, written again if a cell is newer."""
        file = self.out / "study.md"
        newest = max(map(cell_files.changed_at, self.finished().values()), default=0)
        if not file.exists() or file.stat().st_mtime_ns < newest:
            self.write_report()
        return file.read_text(encoding="utf-8")

    def finished(self) -> dict[Cell, pathlib.Path]:
        """The folder of each cell that can be reported."""
        found = {}
        for cell in self.cells:
            job, file = self.job(cell), cell_files.read(self.folder(cell))
            steps = self.study.steps(cell, self.preset)
            whole = file["steps"].keys() >= steps.keys()
            if not file["steps"]:
                whole = job.folder.is_dir() and self.study.complete(job.folder)
            elif whole:
                whole = not self._differences(job, file, steps)
            if whole:
                found[cell] = job.folder
        return found

    def _differences(self, job: Job, file, steps: Mapping[str, Step]) -> list[str]:
        if not file["steps"]:
            return []
        kept = {n: s["settings"] for n, s in file["steps"].items() if n in steps}
        now = {name: cell_files.plain(steps[name]) for name in kept}
        there = {"task": file["task"], **kept}
        here = {"task": cell_files.plain(job.task), **now}
        return descriptions.differences(there, here)


def plan(states: Sequence[State], cost: Cost | None) -> str:
    """The cells to run, as text.

    Args:
        states: of the cells.
        cost: expected of a cell, for those that have none like them here.
    """
    whole = [state for state in states if not state.left]
    seconds, where, gib = cost or (None, "", None)
    if whole:
        seconds = sum(state.seconds for state in whole) / len(whole)
        gib, where = max(state.gib for state in whole), "the finished cells"
    rows = []
    for state in states:
        of = len(state.left) + len(state.done)
        done = f"{len(state.done)} of {of} steps" if state.left else "finished"
        if not state.left:
            numbers = [f"took {duration(state.seconds)}", f"{state.gib:.1f} GiB"]
        else:
            numbers = [
                tables.DASH if seconds is None else f"about {duration(seconds)}",
                tables.DASH if gib is None else f"about {gib:.1f} GiB",
            ]
        rows.append([state.cell.path, done, *numbers])
    left = len(states) - len(whole)
    notes = [f"{left} of {len(states)} cells to run"]
    if left and seconds is not None:
        notes[0] += f", about {duration(left * seconds)}, judging by {where}"
    if left and None in (seconds, gib):
        notes.append(f"{tables.DASH}: known here once a cell is finished")
    return tables.as_text(
        tables.Table(["cell", "state", "time", "memory"], rows, notes)
    )
