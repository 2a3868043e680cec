"""Studies as grids: cells that run once and resume, and a report of finished cells.

A study is plain data: its cells, presets, a task and steps for each cell, and a report.

    STUDY = grid.Study(
        name="trainings",
        cells=lambda preset: cells.product(training=("plain", "macer")),
        presets=presets.PRESETS,
        task=lambda cell, preset: Task(home=home, defence=cell["training"]),
        steps=lambda cell, preset: {"certified": steps.Certify(...)},
        report=lambda found: [page.Heading("Trainings", 1), ...],
    )

Each cell has a folder below `cells`. Its `cell.json` has the settings of the cell and,
of each finished step, the result, its times, and the commit and versions that made it:
files alone say which steps are left.
"""

import dataclasses
import datetime
import fnmatch
import io
import pathlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from advjax.reports import tables
from advjax.reports.files import write_report
from advjax.reports.page import Block
from advjax.runs import descriptions
from advjax.runtime.progress import Progress, duration
from experiments.lab import cell_files, origins
from experiments.lab.cells import Cell, choose
from experiments.lab.console import say

if TYPE_CHECKING:
    from experiments.lab.task import System, Task


class Cost(NamedTuple):
    """Measured cost of a cell.

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
    _other: "Job | None" = None

    def on(self, task: "Task") -> "Job":
        """This cell with another task.

        Asked for an equal task again, it is the same job, whose classifier is resolved
        already.
        """
        if self._other is None or self._other.task != task:
            self._other = dataclasses.replace(
                self, task=task, _system=None, _other=None
            )
        return self._other

    def resolve(self) -> "System":
        """The classifier and its data, built and trained if need be."""
        if self._system is None:
            self._system = self.task.resolve()
        return self._system


class Step:
    """A piece of work in a cell: a frozen dataclass whose fields are its settings."""

    def given(self, job: Job) -> Any:
        """Results of other cells that this step depends on; new ones run it again."""
        return None

    def run(self, job: Job) -> Mapping[str, Any] | None:
        """Do the work that is missing; return results for `cell.json`, if any."""
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
        report: yields the parts of study.md, texts in Markdown; draws its figures.
        sized: applies flags to a preset.
        together: axes whose cells one start takes all of with --share.
        costs: of a cell, by preset; where cells differ, by a pattern of their names, of
            which the first that fits counts.
        complete: True if the folder of a cell without steps in `cell.json`, as earlier
            versions left it, can be reported.
    """

    name: str
    cells: Callable[[Any], Sequence[Cell]]
    presets: Mapping[str, Any]
    task: Callable[[Cell, Any], "Task | None"]
    steps: Callable[[Cell, Any], Mapping[str, Step]]
    report: Callable[[Found], Iterable[Block]]
    sized: Callable[[Any], Any] = lambda preset: preset
    together: Sequence[str] = ()
    costs: Mapping[str, Cost | Mapping[str, Cost]] = dataclasses.field(
        default_factory=dict
    )
    complete: Callable[[pathlib.Path], bool] = lambda folder: False


class Choice(NamedTuple):
    """The part of a study to run.

    Attributes:
        out: the folder of the study.
        cells: names of cells with wildcards, separated by commas.
        share: "I/N": every N-th of the cells that can be shared, from the I-th one on.
        preset: the name of the sizes.
        dry_run: only print the cells that are left.
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
    states = [*map(grid.state, chosen)]
    if choice.dry_run:
        print(plan(states, study.costs.get(choice.preset)))
        return
    num_left = sum(bool(state.left) for state in states)
    say(f"study       {choice.out}: {num_left} of {len(chosen)} cells to run")
    # Only its estimate is shown: cells have progress lines of their own.
    pace = Progress("cells", total=num_left, unit="cells", stream=io.StringIO())
    with pace:
        for cell in chosen:
            # Cells before may have given this one more to work on.
            state = grid.state(cell)
            if not state.left:
                continue
            ahead = pace.remaining_s
            more = "" if ahead is None else f", about {duration(ahead)} left"
            number = min(pace.done + 1, num_left)
            say(f"cell        {number} of {num_left}: {cell.path}{more}")
            grid.run(state)
            grid.write_report()
            pace.advance()
    print(grid.report(), end="")


class State(NamedTuple):
    """The progress of a cell.

    Attributes:
        job: the cell.
        left: the steps to run, by name.
        done: the finished steps as `cell.json` has them.
    """

    job: Job
    left: Mapping[str, Step]
    done: Sequence[Mapping[str, Any]]

    @property
    def cost(self) -> Cost:
        """Cost of the finished steps."""
        seconds = sum(step["seconds"] for step in self.done)
        gib = max((step["peak_gib"] for step in self.done), default=0.0)
        return Cost(seconds, "the finished cells", gib)


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

    def _read(self, cell: Cell):
        """A cell, its steps, those in its file, and settings that differ there."""
        folder = self.out / "cells" / cell.path
        task = self.study.task(cell, self.preset)
        job = Job(cell, task, folder, self.out, self.environment)
        steps, file = self.study.steps(cell, self.preset), cell_files.read(folder)
        kept, lines = file["steps"], []
        if kept:
            both = [name for name in kept if name in steps]
            there = {"task": file["task"]}
            there |= {name: kept[name]["settings"] for name in both}
            here = {"task": task, **{name: steps[name] for name in both}}
            lines = descriptions.differences(there, cell_files.beside(here, there))
        return job, steps, kept, lines

    def state(self, cell: Cell) -> State:
        """The progress of a cell, by its file.

        Raises:
            ValueError: a step was done with other settings.
        """
        job, steps, kept, lines = self._read(cell)
        if lines:
            raise ValueError(
                f"{job.folder} was made with other settings:\n"
                + "\n".join(lines)
                + "\nGive the same flags again or another --out, or remove it."
            )
        left = {
            name: step
            for name, step in steps.items()
            if name not in kept
            or cell_files.plain(step.given(job)) != kept[name]["given"]
        }
        done = [kept[name] for name in steps if name not in left]
        return State(job, left, done)

    def run(self, state: State) -> None:
        """Run the remaining steps of a cell."""
        job = state.job
        for name, step in state.left.items():
            begun, given = time.perf_counter(), step.given(job)
            started = datetime.datetime.now(datetime.UTC)
            result = step.run(job)
            entry = {
                "settings": step,
                "given": given,
                "result": result or {},
                "started": started.strftime("%Y-%m-%d %H:%M:%S UTC"),
                "seconds": round(time.perf_counter() - begun, 3),
                "environment": self.environment,
            }
            task = cell_files.plain(job.task)
            cell_files.add(job.folder, task, name, cell_files.plain(entry))
        import jax

        # Programs of one cell hardly serve another, and hold half a gigabyte.
        jax.clear_caches()

    def write_report(self) -> None:
        """Write study.md, its tables and figures from all finished cells."""
        self.out.mkdir(parents=True, exist_ok=True)
        parts = self.study.report(Found(self.out, self.preset, self.finished()))
        blocks = [part for part in parts if part]
        origin = origins.of(self.environment)
        write_report(self.out / "study.md", blocks, origin=origin)

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
            job, steps, kept, lines = self._read(cell)
            whole = kept.keys() >= steps.keys() and not lines
            if not kept:
                whole = job.folder.is_dir() and self.study.complete(job.folder)
            if whole:
                found[cell] = job.folder
        return found


def plan(
    states: Sequence[State], costs: Cost | Mapping[str, Cost] | None = None
) -> str:
    """The cells to run, as text.

    Args:
        states: of the cells.
        costs: expected of a cell, or of cells by a pattern of their names, where no
            cell like it is finished.
    """
    patterns = costs if isinstance(costs, Mapping) else {"*": costs}
    kinds = {
        state.job.cell.path: next(
            (p for p in patterns if fnmatch.fnmatchcase(state.job.cell.path, p)), None
        )
        for state in states
    }
    whole: dict[str | None, list[Cost]] = {}
    for state in states:
        if not state.left:
            whole.setdefault(kinds[state.job.cell.path], []).append(state.cost)
    expected = {
        kind: _mean_cost(whole[kind]) if kind in whole else patterns.get(kind)
        for kind in kinds.values()
    }
    rows, left = [], []
    for state in states:
        cost = expected[kinds[state.job.cell.path]]
        if state.left:
            left.append(cost)
            of = len(state.left) + len(state.done)
            pace = f"about {duration(cost.seconds)}" if cost else tables.DASH
            known = cost and cost.gib is not None
            memory = f"about {cost.gib:.1f} GiB" if known else tables.DASH
            texts = [f"{len(state.done)} of {of} steps", pace, memory]
        else:
            took = duration(state.cost.seconds)
            texts = ["finished", f"took {took}", f"{state.cost.gib:.1f} GiB"]
        rows.append([state.job.cell.path, *texts])
    notes = [f"{len(left)} of {len(states)} cells to run"]
    if left and all(left):
        total = duration(sum(cost.seconds for cost in left))
        machines = " and ".join(dict.fromkeys(cost.machine for cost in left))
        notes[0] += f", about {total}, judging by {machines}"
    if any(tables.DASH in row for row in rows):
        notes.append(f"{tables.DASH}: known here once a cell is finished")
    return tables.as_text(
        tables.Table(["cell", "state", "time", "memory"], rows, notes)
    )


def _mean_cost(costs: Sequence[Cost]) -> Cost:
    """The mean time of finished cells, and their largest memory."""
    mean = sum(each.seconds for each in costs) / len(costs)
    return Cost(mean, costs[0].machine, max(each.gib for each in costs))
