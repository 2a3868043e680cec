"""Grids with steps that write files."""

import dataclasses
import json
import types
from typing import NamedTuple

import pytest

from experiments.lab import cell_files, cells, grid


@dataclasses.dataclass(frozen=True)
class Count(grid.Step):
    """Append a line to a file; `stop` interrupts the first start before it."""

    number: int
    stop: bool = False

    def run(self, job):
        job.folder.mkdir(parents=True, exist_ok=True)
        if self.stop and not (job.folder / "begun").exists():
            (job.folder / "begun").touch()
            raise KeyboardInterrupt
        with (job.folder / "rows").open("a") as file:
            file.write(f"{self.number}\n")
        return {"number": self.number}


@dataclasses.dataclass(frozen=True)
class Sum(grid.Step):
    """Add the results of other cells."""

    sources: tuple[str, ...]

    def given(self, job):
        folders = [job.out / "cells" / name for name in self.sources]
        return [cell_files.results(folder).get("number") for folder in folders]

    def run(self, job):
        return {"sum": sum(n for n in self.given(job) if n is not None)}


def study(**changes):
    every = {
        "name": "counts",
        "cells": lambda preset: [
            *cells.product(letter=("a", "b(x=1)"), half=(0.5, 1.0)),
            cells.Cell("sum"),
        ],
        "presets": {"small": 1, "publication": 10},
        "task": lambda cell, preset: None,
        "steps": lambda cell, preset: (
            {"sum": Sum(("a/0.5", "b/1"))}
            if cell.path == "sum"
            else {"count": Count(preset)}
        ),
        "report": lambda found: [
            "# Counts",
            *(
                f"{cell.path} {cell_files.results(folder)['number']}"
                for cell, folder in found.cells.items()
                if cell.path != "sum"
            ),
        ],
    }
    return grid.Study(**every | changes)


def run(out, counted=None, **choice):
    grid.run(counted or study(), grid.Choice(out, **choice), {"git": "here"})


def lines(out):
    return {
        str(file.parent.relative_to(out / "cells")): file.read_text().split()
        for file in sorted(out.rglob("rows"))
    }


def test_cells_are_called_by_their_values_and_know_them():
    names = [cell.path for cell in study().cells(1)]
    assert names == ["a/0.5", "a/1", "b/0.5", "b/1", "sum"]
    assert study().cells(1)[2]["letter"] == "b(x=1)"


def test_each_cell_runs_once_and_the_report_has_all_of_them(tmp_path, capsys):
    run(tmp_path)
    output = capsys.readouterr()
    assert "preset      small (--preset: small, publication)" in output.err
    assert "cell        5 of 5: sum" in output.err
    assert output.out == (tmp_path / "study.md").read_text()
    assert output.out.split("\n\n")[1:] == ["a/0.5 1", "a/1 1", "b/0.5 1", "b/1 1\n"]
    run(tmp_path)
    again = capsys.readouterr()
    assert again.out == output.out and "0 of 5 cells to run" in again.err
    assert set(map(len, lines(tmp_path).values())) == {1}
    file = json.loads((tmp_path / "cells/a/1/cell.json").read_text())
    assert file["steps"]["count"]["environment"] == {"git": "here"}
    assert file["steps"]["count"]["peak_gib"] > 0


def test_a_finished_study_neither_makes_tasks_ready_nor_reports_again(tmp_path):
    class Task(types.SimpleNamespace):
        def resolve(self):
            raise AssertionError("a finished cell needs no classifier")

    counted = study(task=lambda cell, preset: Task())
    run(tmp_path, counted)
    file = tmp_path / "study.md"
    file.write_text("as it was")
    run(tmp_path, dataclasses.replace(counted, report=lambda found: pytest.fail("old")))
    assert file.read_text() == "as it was"


def test_a_stop_within_a_step_leaves_the_steps_before(tmp_path):
    def steps(cell, preset):
        return {"first": Count(1), "second": Count(2, stop=cell.path == "a/1")}

    two = study(cells=lambda preset: cells.product(letter=("a",), half=(0.5, 1.0)))
    two = dataclasses.replace(two, steps=steps, report=lambda found: [str(found.cells)])
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, two)
    assert "a/0.5" in (tmp_path / "study.md").read_text()
    assert "a/1" not in (tmp_path / "study.md").read_text()
    run(tmp_path, two)
    assert lines(tmp_path) == {"a/0.5": ["1", "2"], "a/1": ["1", "2"]}
    assert "a/1" in (tmp_path / "study.md").read_text()


def test_shares_are_disjoint_and_merge_into_one_report(tmp_path):
    for index in range(2):
        run(tmp_path, share=f"{index}/2")
    assert set(map(len, lines(tmp_path).values())) == {1}
    assert len((tmp_path / "study.md").read_text().split("\n\n")) == 5


def test_cells_that_belong_together_are_of_one_share():
    every = study().cells(1)
    shares = [cells.choose(every, "*", f"{i}/2", ["half"]) for i in range(2)]
    names = [[cell.path for cell in share] for share in shares]
    # The sum reads the others, and is for a start without a share.
    assert names == [["a/0.5", "a/1"], ["b/0.5", "b/1"]]


def test_a_share_keeps_the_order_of_the_grid():
    first = cells.product(model=["a", "b", "c"], work=["clean"])
    every = [*first, *cells.product(model=["a", "b", "c"], work=["attack"])]
    found = cells.choose(every, "*", "0/2", ["work"])
    assert [cell.path for cell in found] == [
        "a/clean",
        "c/clean",
        "a/attack",
        "c/attack",
    ]


def test_a_part_is_named_by_patterns(tmp_path):
    run(tmp_path, cells="*/0.5, sum")
    assert set(lines(tmp_path)) == {"a/0.5", "b/0.5"}


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"cells": "c/*"}, r"matches no cell; they are called like a/0\.5, a/1"),
        ({"share": "1"}, "write I/N"),
        ({"share": "2/2"}, "write I/N"),
        ({"share": "8/9"}, "leaves no cell, as 4 can be shared"),
        ({"preset": "medium"}, "this study has small, publication"),
    ],
)
def test_wrong_choices_are_refused(tmp_path, choice, message):
    with pytest.raises(ValueError, match=message):
        run(tmp_path, **choice)
    assert not any(tmp_path.iterdir())


def test_cells_of_one_name_are_refused(tmp_path):
    twice = study(cells=lambda preset: cells.product(letter=("a", "a(x=1)")))
    with pytest.raises(ValueError, match="called a; give each start an --out of its"):
        run(tmp_path, twice)


def test_cells_of_other_settings_are_refused_and_left_out_of_reports(tmp_path):
    run(tmp_path, cells="a/*")
    with pytest.raises(ValueError, match=r"count.number: 1 there, 10 now"):
        run(tmp_path, cells="a/*", preset="publication")
    run(tmp_path, cells="b/*", preset="publication")
    assert "a/1" not in (tmp_path / "study.md").read_text()


def test_a_cell_runs_again_when_its_sources_have_changed(tmp_path):
    found = tmp_path / "cells/sum"
    run(tmp_path, cells="a/0.5, sum")
    assert cell_files.results(found)["sum"] == 1
    run(tmp_path)
    assert cell_files.results(found)["sum"] == 2


def test_a_dry_run_lists_the_cells_left_and_writes_nothing(tmp_path, capsys):
    costs = {"small": grid.Cost(600, "two cores", 1.5)}
    run(tmp_path / "none", study(costs=costs), dry_run=True)
    output = capsys.readouterr().out
    assert "about 10 min 00 s" in output and "about 1.5 GiB" in output
    assert "5 of 5 cells to run, about 50 min 00 s, judging by two cores" in output
    assert not (tmp_path / "none").exists()
    run(tmp_path, study(costs=costs), cells="a/*")
    capsys.readouterr()
    run(tmp_path, dry_run=True)
    output = capsys.readouterr().out
    assert output.count("finished") == 3 and "judging by the finished cells" in output


def test_costs_may_differ_by_the_names_of_cells(tmp_path, capsys):
    costs = {"small": {"a/*": grid.Cost(600, "two cores"), "b/*": grid.Cost(60, "one")}}
    run(tmp_path, study(costs=costs), dry_run=True)
    output = capsys.readouterr().out
    assert "5 of 5 cells to run\n" in output  # no cost is known of the cell "sum"
    run(tmp_path, study(costs=costs), cells="sum")
    run(tmp_path, study(costs=costs), cells="a/*,b/*", dry_run=True)
    output = capsys.readouterr().out
    assert "4 of 4 cells to run, about 22 min 00 s, judging by two cores" in output
    # A finished cell of a kind tells the cost of the others, of that kind alone.
    run(tmp_path, study(costs=costs), cells="b/1")
    run(tmp_path, study(costs=costs), cells="a/*,b/*", dry_run=True)
    output = capsys.readouterr().out
    assert "judging by two cores and the finished cells" in output
    assert "3 of 4 cells to run, about 20 min 00 s" in output


def test_steps_keep_their_time_and_origin(tmp_path):
    run(tmp_path, cells="a/1")
    (step,) = cell_files.read(tmp_path / "cells/a/1")["steps"].values()
    assert step["environment"] == {"git": "here"}
    assert step["started"].endswith("UTC") and step["seconds"] >= 0


def test_another_task_of_a_cell_is_resolved_once():
    class Counted:
        resolved = 0

        def __init__(self, name):
            self.name = name

        def __eq__(self, other):
            return self.name == other.name

        def resolve(self):
            Counted.resolved += 1
            return self.name

    job = grid.Job(cells.Cell("a"), Counted("own"), None, None, {})
    assert [job.on(Counted("x")).resolve() for _ in range(3)] == ["x"] * 3
    assert Counted.resolved == 1
    assert job.on(Counted("y")).resolve() == "y"
    assert job.resolve() == "own"


def test_files_of_earlier_versions_keep_their_results(tmp_path):
    folder = tmp_path / "cells/a/1"
    folder.mkdir(parents=True)
    (folder / "cell.json").write_text('{"accuracy": 0.5}')
    old = study(complete=lambda folder: True)
    assert grid._Grid(old, grid.Choice(tmp_path), 1, {}).finished()
    run(tmp_path, old, cells="a/1")
    found = cell_files.results(folder)
    assert (found["accuracy"], found["number"]) == (0.5, 1)


def test_a_damaged_file_is_reported_and_its_cell_run_again(tmp_path, capsys):
    run(tmp_path, cells="a/1")
    (tmp_path / "cells/a/1/cell.json").write_text("{")
    run(tmp_path, cells="a/1")
    assert "its steps are run again" in capsys.readouterr().err
    assert lines(tmp_path)["a/1"] == ["1", "1"]


class Votes(NamedTuple):
    number: int
    later: int = 3


@dataclasses.dataclass(frozen=True)
class Of:
    votes: Votes
    home: str = "/here"
    later: str = "usual"


def test_a_field_that_came_later_is_as_before_at_its_default():
    written = {"of": {"votes": {"number": 4}}, "other": 1}
    now = {"of": Of(Votes(4)), "other": 1}
    assert cell_files.beside(now, written) == written
    assert cell_files.beside(now, cell_files.plain(now)) == cell_files.plain(now)
    new = {"of": Of(Votes(4, later=5), later="new"), "other": 1}
    votes = {"number": 4, "later": 5}
    assert cell_files.beside(new, written)["of"] == {"votes": votes, "later": "new"}
    assert cell_files.beside(now, {"of": 2, "other": 1}) == cell_files.plain(now)


def test_cells_from_before_a_field_are_kept(tmp_path):
    run(tmp_path, study(task=lambda cell, preset: Votes(preset)))
    file = tmp_path / "cells/a/0.5/cell.json"
    content = json.loads(file.read_text())
    assert content["task"].pop("later") == 3
    file.write_text(json.dumps(content))
    run(tmp_path, study(task=lambda cell, preset: Votes(preset)))
    assert (tmp_path / "cells/a/0.5/rows").read_text() == "1\n"
    with pytest.raises(ValueError, match="task.later: '.absent.' there, 4 now"):
        run(tmp_path, study(task=lambda cell, preset: Votes(preset, later=4)))
