import json
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments.benchmarks import harness, results
from experiments.benchmarks.harness import Contestant, contest, in_process
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.work import Turn, Work, measure
from tests.experiments.benchmarks.spinning import ended, spinner


def result(name, kind, wall_s, cpu_s=None, units=1):
    cpu_s = wall_s if cpu_s is None else cpu_s
    turns = (Turn(units, *pair, 2**20) for pair in zip(wall_s, cpu_s, strict=True))
    return Result(name, kind, Turn(units, 9.0, 9.0, 2**20), tuple(turns))


def test_every_round_has_another_order():
    order = []
    contestants = [
        in_process(str(i), "ours", lambda i=i: order.append(i)) for i in range(3)
    ]
    found = contest(contestants, rounds=3)
    # The first calls, then the rounds.
    assert order == [0, 1, 2, 0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert [one.name for one in found] == ["0", "1", "2"]
    assert all(len(one.turns) == 3 for one in found)


def test_nothing_is_timed_before_the_check_and_a_failure_stops_the_contest():
    calls = []

    def add(value):
        calls.append(value)
        return value

    contestants = [
        in_process(str(i), "ours", lambda i=i: add(i + 1.0)) for i in range(2)
    ]

    def check(entrants):
        arrays = {one.contestant.name: one.result for one in entrants}
        harness.differences(arrays, 1e-3, "sums")

    with pytest.raises(ValueError, match="sums of '1' and '0' differ by 1.0e"):
        contest(contestants, rounds=5, check=check)
    assert calls == [1.0, 2.0]


def test_differences_are_relative_to_the_first():
    found = harness.differences({"a": [1.0, -4.0], "b": [1.5, -4.0]}, 0.2)
    assert found == {"b": pytest.approx(0.125)}
    with pytest.raises(ValueError, match="shape"):
        harness.differences({"a": np.zeros(2), "b": np.zeros(3)}, 1.0)
    with pytest.raises(ValueError, match="not the same work"):
        harness.differences({"a": [1.0], "b": [np.nan]}, 1.0)


def test_turns_are_whole_batches_for_about_the_time_asked_for():
    slow = in_process("slow", "ours", lambda: time.sleep(0.02), batch=8)
    fast = in_process("fast", "ours", lambda: None, batch=8)
    slow_result, fast_result = contest(
        [slow, fast], rounds=1, size=harness.turns_of(0.09)
    )
    # Fewer on a machine that sleeps longer.
    assert slow_result.turns[0].units in (16, 24, 32)
    assert fast_result.turns[0].units % 8 == 0
    assert fast_result.turns[0].units > 1000


def test_a_contestant_without_turns_keeps_its_last_call():
    entrants = []
    found = contest(
        [in_process("a", "ours", lambda: "a"), in_process("b", "rival", lambda: "b")],
        rounds=3,
        size=lambda entrants: [1, 0],
        check=entrants.extend,
    )
    assert [len(one.turns) for one in found] == [3, 1]
    assert found[1].turns == (found[1].first,)
    assert [entrant.result for entrant in entrants] == ["a", "b"]


def test_ratios_are_of_the_same_round_and_lie_in_their_interval():
    # The machine slows down by ten in the middle; the medians alone would mislead.
    ours = result("ours", "ours", [1, 1, 10, 10, 10])
    other = result("other", "rival", [2, 2, 2.2, 22, 22], cpu_s=[3] * 5)
    by = results.ratio(ours, other)
    assert by.value == pytest.approx(2.0)
    assert 0.22 <= by.low <= by.value <= by.high <= 2.2
    assert results.ratio(ours, other) == by
    assert results.ratio(ours, other, "cpu_s").value == pytest.approx(0.3)
    # Units make turns of different length comparable.
    twice = result("twice", "rival", [4, 4, 4.4, 44, 44], units=2)
    assert results.ratio(ours, twice) == by


def test_the_interval_shrinks_with_the_rounds_and_covers_the_truth():
    rng = np.random.default_rng(0)

    def interval(rounds):
        ours = result("a", "ours", rng.lognormal(0.0, 0.1, rounds))
        other = result("b", "rival", 1.5 * rng.lognormal(0.0, 0.1, rounds))
        return results.ratio(ours, other)

    few, many = interval(5), interval(200)
    assert many.high - many.low < few.high - few.low
    covered = [one.low <= 1.5 <= one.high for one in (interval(25) for _ in range(100))]
    assert np.mean(covered) > 0.85


def test_a_single_turn_stands_beside_every_round():
    by = results.ratio(result("a", "ours", [1, 2]), result("b", "rival", [4]))
    assert (by.low, by.value, by.high) == (2.0, 3.0, 4.0)


def test_the_best_of_a_kind_has_the_best_median():
    slow, fast = result("slow", "rival", [1, 9, 9]), result("fast", "rival", [2, 2, 3])
    one = Contest("a title", "units", (slow, fast))
    assert one.best("rival") is fast
    assert one.best("ours") is None
    assert one.bests() == [fast]


def test_a_table_has_rates_ratios_and_cores():
    ours = result("ours", "ours", [0.5, 0.5, 0.5], cpu_s=[1.0, 1.0, 1.0])
    other = result("theirs", "rival", [1.0, 1.0, 1.0])
    bound = result("bound", "ceiling", [0.1, 0.1, 0.1])
    one = Contest("a title", "clips", (ours, other, bound))
    against = {"theirs": ["rival", "another"], "nobody": ["absent"]}
    table = results.table([one], against, {"ms": lambda r: f"{r.median_s:g}"})
    assert table.header == [
        "contestant", "clips/s", "first call, s", "cores", "ms", "times theirs",
        "by CPU time", "times nobody", "by CPU time",
    ]  # fmt: skip
    assert [row[:7] for row in table.rows] == [
        ["ours", "2", "9.00", "2.0", "0.5", "2.00 [2.00, 2.00]", "1.00 [1.00, 1.00]"],
        ["theirs", "1", "9.00", "1.0", "1", "1.00 [1.00, 1.00]", "1.00 [1.00, 1.00]"],
    ]
    assert all(row[7:] == ["–", "–"] for row in table.rows)


def test_a_table_of_contests_has_their_titles_and_the_share_of_the_ceiling():
    first = Contest("one", "clips", (result("a", "ours", [0.5]),), {"ceiling": 8.0})
    ways = (result("a", "ours", [0.5]), result("b", "ours", [0.25]))
    table = results.table([first, Contest("two", "clips", ways)], {}, only_best=True)
    assert table.header[0] == "contest" and table.header[-1] == "of the ceiling"
    assert [[*row[:3], row[-1]] for row in table.rows] == [
        ["one", "a", "2", "0.25"],
        ["two", "b", "4", "–"],
    ]


def test_what_is_written_has_every_turn(tmp_path):
    facts = {"parity": 1e-7, "sizes": (1, 2)}
    one = Contest("a title", "clips", (result("ours", "ours", [1.0, 2.0]),), facts)
    where = results.setting(["no such package"])
    results.write(tmp_path, "a", [one], "", where)
    spelled = json.loads((tmp_path / "a.json").read_text())
    assert spelled["setting"] == where
    (found,) = spelled["contests"]
    assert (found["title"], found["unit"]) == ("a title", "clips")
    assert found["facts"] == {"parity": 1e-7, "sizes": [1, 2]}
    (ours,) = found["results"]
    assert [Turn(**turn) for turn in ours["turns"]] == list(one.results[0].turns)
    assert Turn(**ours["first"]) == one.results[0].first


def test_a_figure_shows_the_best_of_a_kind_over_a_fact():
    def of(clips, *wall_s):
        found = (result(str(i), "ours", [s]) for i, s in enumerate(wall_s))
        return Contest("", "clips", tuple(found), {"panel": "mfbe", "clips": clips})

    panels = results._panels([of(32, 0.5, 0.25), of(1, 1.0)], "clips")
    assert panels == {"mfbe": {"ours": [(1, 1.0), (32, 4.0)]}}


@pytest.mark.parametrize(("count", "shown"), [(8, 8), (9, 1)])
def test_a_figure_of_many_contestants_shows_the_best_of_a_kind(count, shown):
    many = tuple(result(str(i), "ours", [1.0 + i]) for i in range(count))
    panels = results._panels([Contest("all", "clips", many)], None)
    assert len(panels["all"]) == shown and panels["all"]["0"] == [(1, 1.0)]


@pytest.mark.parametrize(
    ("out", "names"),
    [
        ("folder", ["bench.json", "bench.md", "bench.png"]),
        ("folder/mine.md", ["mine.json", "mine.md", "mine.png"]),
    ],
)
def test_a_report_is_text_turns_and_a_figure(tmp_path, out, names):
    pytest.importorskip("matplotlib")
    one = Contest("a title", "clips", (result("ours", "ours", [1.0, 2.0]),))
    where = results.setting() | {"device": "1 x cpu"}
    report = results.write(str(tmp_path / out), "bench", [one], "| a table |", where)
    assert sorted(os.listdir(tmp_path / "folder")) == names
    text = (tmp_path / "folder" / names[1]).read_text()
    assert text.startswith("| a table |") and "cores, JAX on 1 x cpu" in text
    assert report == text


def test_the_setting_names_processor_instructions_device_and_versions():
    where = results.setting(["pytest", "no such package"])
    assert where["processor"] and where["instruction_set"]
    assert where["device"].startswith(f"{jax.device_count()} x ")
    assert where["cores"] >= 1
    assert where["versions"]["pytest"] == pytest.__version__
    assert "no such package" not in where["versions"]
    json.dumps(where)


def test_a_turn_counts_the_cpu_seconds_of_processes_that_it_started():
    program = "import time\nwhile time.process_time() < 0.3: pass"

    def run(units):
        for _ in range(units):
            subprocess.run([sys.executable, "-S", "-c", program], check=True)

    turn, _ = measure(Work(run), 1, {})
    assert turn.cpu_s > 0.25
    # Sleep is no work.
    idle, _ = measure(Work(lambda units: time.sleep(0.2)), 1, {})
    assert idle.wall_s > 0.15 and idle.cpu_s < 0.1


def processes_of(name, count, build, **options):
    return Contestant(name, "ours", build, options, batch=2, num_processes=count)


def test_processes_share_the_work_and_their_cpu_seconds_add_up():
    contestant = processes_of("two", 2, spinner, seconds=0.02, fact=[1.5])
    with harness.Entrant(contestant) as entrant:
        assert entrant.facts == {"fact": [1.5]}
        turn = entrant.run(10)
        pids = [process.pid for process in entrant._processes]
    # Whole batches of two: six for each.
    assert turn.units == 12
    assert 0.23 < turn.cpu_s < 1.0
    assert turn.wall_s > 0.1 and turn.peak_bytes > 2 * 2**22
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_a_contestant_that_ends_early_is_told_of_and_leaves_no_process():
    with pytest.raises(ValueError, match="'broken' ended before its turn"):
        contest([processes_of("broken", 2, ended)], rounds=1)


def test_a_contestant_that_is_killed_ends_the_contest():
    with harness.Entrant(processes_of("a", 1, spinner, seconds=0, fact=0)) as entrant:
        entrant.run(1)
        entrant._processes[0].send_signal(signal.SIGKILL)
        entrant._processes[0].wait()
        with pytest.raises(ValueError, match="'a' ended before its turn"):
            entrant.run(1)
