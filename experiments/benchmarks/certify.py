"""Votes per second: our certification beside PyTorch's and the machine's ceiling.

  python -m experiments.benchmarks.certify --out=FOLDER

Every contestant is a process of its own with the same weights and the same clip, whose
logits are compared before anything is timed: ours at several tiles; (a) the
certification loop as published, eager with batches of 400 and counts in Python; (b) the
best PyTorch that we can write, at several batches, in both memory layouts, with batch
norm folded and with torch.compile; (c) a large matrix product, the ceiling. They take
turns, every round in another order. Of ours and of (b) the one with the best median
counts, and the ratios are those of its turns of the same round.

Then ours alone, at the first width, over a 30-fold range of n and of clips: what a
certificate costs, and whether memory grows. Writes certify.md, certify.json and the
figures scaling.png and width.png to --out.

The clip is normal noise at the stage mfbe and the network is not trained: neither
changes the time of a vote. Needs PyTorch 2.13.0: pip install 'advjax[bench]'
"""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np

from experiments import app, flags
from experiments.benchmarks import certify_sides, contest
from experiments.benchmarks import flags as bench
from experiments.lab.console import say

flags.declare(
    __name__,
    flags.PRECISION,
    bench.TURNS,
    bench.TURN_S,
    bench.WIDTHS,
    bench.TILES,
    bench.BATCHES,
    bench.SCALING,
    bench.COMPILED,
    flags.OUT,
    flags.CACHE,
    flags.HOME,
)

TOLERANCE = 1e-4
"""Greatest difference of logits, relative to the largest."""
MULTIPLES = (1, 3, 10, 30)


def main() -> None:
    """All widths, then the tables."""
    out = pathlib.Path(flags.OUT.value or "benchmark")
    out.mkdir(parents=True, exist_ok=True)
    found = {
        "machine": f"{contest.num_cores()} cores of {contest.processor()}",
        "precision": flags.PRECISION.value,
        "revision": app.revision(),
        "widths": {width: measure(int(width)) for width in bench.WIDTHS.value},
    }
    (out / "certify.json").write_text(
        json.dumps(found, indent=1) + "\n", encoding="utf-8"
    )
    from experiments.benchmarks import certify_report

    text = certify_report.write(found, out)
    print(text)


class Contestant:
    """One or several processes that work at the same time."""

    def __init__(self, name: str, kind: str, batch: int, specs: list[dict[str, Any]]):
        """Starts the processes; `ready` waits until they are built."""
        self.name, self.kind, self.batch, self.specs = name, kind, batch, specs
        self.processes = [_start(spec) for spec in specs]
        self.tells: dict[str, Any] = {}

    def ready(self) -> None:
        """Nothing; waits for the processes, and reads what they tell."""
        self.tells = [_answer(process) for process in self.processes][0]

    def turn(self, votes: int, clips: int = 1) -> dict[str, Any]:
        """Counts at least `votes` for each of `clips`, and says what it took."""
        share = -(-votes // len(self.processes) // self.batch) * self.batch
        for process in self.processes:
            process.stdin.write(json.dumps({"clips": clips, "votes": share}) + "\n")
            process.stdin.flush()
        told = [_answer(process) for process in self.processes]
        total = share * clips * len(self.processes)
        wall = max(one["wall_s"] for one in told)
        return {
            "votes": total,
            "wall_s": wall,
            "cpu_s": sum(one["cpu_s"] for one in told),
            "peak_bytes": sum(one["peak_bytes"] for one in told),
            "votes_per_s": total / wall,
        }

    def stop(self) -> None:
        """Nothing; ends the processes."""
        for process in self.processes:
            process.stdin.close()
            process.wait(timeout=60)


def measure(width: int) -> dict[str, Any]:
    """Everything about one width."""
    with contextlib.ExitStack() as stack:
        contestants = list(_contestants(width, stack))
        _agree(contestants)
        sizes = [_turn_size(contestant) for contestant in contestants]
        turns = [[] for _ in contestants]
        for number in range(bench.TURNS.value):
            for place in range(len(contestants)):
                index = (number + place) % len(contestants)
                turns[index].append(contestants[index].turn(sizes[index]))
            rates = [own[-1]["votes_per_s"] for own in turns]
            said = (
                f"{contestant.name} {rate:.4g}"
                for contestant, rate in zip(contestants, rates, strict=True)
            )
            say(f"width {width}, round {number + 1}: {', '.join(said)}")
        results = [
            {
                "name": contestant.name,
                "kind": contestant.kind,
                "batch": contestant.batch,
                "spec": contestant.specs[0],
                "compile_s": contestant.tells.get("compile_s"),
                "tells": {
                    name: value
                    for name, value in contestant.tells.items()
                    if name not in ("logits", "compile_s")
                },
                "turns": own,
            }
            for contestant, own in zip(contestants, turns, strict=True)
        ]
    first = int(bench.WIDTHS.value[0])
    best = max((r for r in results if r["kind"] == "ours"), key=median_rate)
    return {
        "flops": certify_sides.flops(width),
        "contestants": results,
        "scaling": _scaling(best) if bench.SCALING.value and width == first else None,
    }


def median_rate(result: dict[str, Any]) -> float:
    """A contestant's median votes per second."""
    return statistics.median(turn["votes_per_s"] for turn in result["turns"])


def _contestants(width: int, stack: contextlib.ExitStack) -> Iterator[Contestant]:
    """All of them, started one after the other: they would share the cores."""

    def started(*entry) -> Contestant:
        contestant = Contestant(*entry)
        stack.callback(contestant.stop)
        contestant.ready()
        say(f"width {width}: {contestant.name} is ready")
        return contestant

    ceiling = {"side": "matmul", "precision": flags.PRECISION.value}
    yield (ceiling := started("matrix product", "ceiling", 1, [ceiling]))
    # Asked of a process of its own: this one stays off the accelerator.
    accelerator = ceiling.tells["backend"] != "cpu"
    for entry in [*_ours(width, accelerator), *_theirs(width, accelerator)]:
        yield started(*entry)


def _ours(width: int, accelerator: bool) -> Iterator[tuple]:
    home = pathlib.Path(flags.HOME.value).absolute()
    spec = {
        "side": "ours",
        "width": width,
        "precision": flags.PRECISION.value,
        "cache": str(home / "compiled") if flags.CACHE.value else "",
    }
    tiles = bench.TILES.value or (
        ["500", "1000", "2000"] if accelerator else ["10", "20"]
    )
    for tile in map(int, tiles):
        for devices in [1] if accelerator else sorted({1, contest.num_cores()}):
            name = f"ours, tile {tile}, {devices} device{'s' * (devices > 1)}"
            # One tile selects the class, and as many at least estimate.
            least = 2 * tile * devices
            yield name, "ours", least, [spec | {"tile": tile, "devices": devices}]


def _theirs(width: int, accelerator: bool) -> Iterator[tuple]:
    cores, batches = contest.num_cores(), [int(batch) for batch in bench.BATCHES.value]
    if not batches:
        batches = [400, 1000, 2000] if accelerator else [16, 20, 32, 50]
    spec = {
        "side": "torch",
        "width": width,
        "precision": flags.PRECISION.value,
        "threads": cores,
        "batch": batches[0],
        "form": "folded",
        "layout": "channels_last",
    }
    published = certify_sides.PUBLISHED_BATCH
    as_published = {"form": "published", "layout": "contiguous", "batch": published}
    as_published["precision"] = "float32"
    yield "PyTorch as published", "published", published, [spec | as_published]
    few = batches[0]
    for batch in batches:
        name = f"PyTorch, folded, batch {batch}"
        yield name, "torch", batch, [spec | {"batch": batch}]
    name = f"PyTorch, folded, channels first, batch {few}"
    yield name, "torch", few, [spec | {"layout": "contiguous"}]
    if cores > 1 and not accelerator:
        name = f"PyTorch, folded, {cores} processes of a core, batch {few}"
        yield name, "torch", few, [spec | {"threads": 1}] * cores
    if bench.COMPILED.value:
        name = f"PyTorch, compiled, batch {few}"
        yield name, "torch", few, [spec | {"form": "compiled"}]


def _agree(contestants: list[Contestant]) -> None:
    """Nothing; refuses to time networks that are not the same."""
    logits = {
        c.name: np.asarray(c.tells["logits"])
        for c in contestants
        if "logits" in c.tells
    }
    name, expected = next(iter(logits.items()))
    tolerance = TOLERANCE if flags.PRECISION.value == "float32" else 0.1
    for other, found in logits.items():
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        if not difference < tolerance:
            raise ValueError(
                f"logits of {other!r} and {name!r} differ by {difference:.1e}"
            )


def _turn_size(contestant: Contestant) -> int:
    """Votes that take about --turn_s."""
    trial = contestant.turn(contestant.batch)
    return max(contestant.batch, round(trial["votes_per_s"] * bench.TURN_S.value))


def _scaling(result: dict[str, Any]) -> dict[str, Any]:
    """Seconds and memory over n for one clip, and over clips for a fixed n."""
    with contextlib.ExitStack() as stack:
        contestant = Contestant(
            result["name"], "ours", result["batch"], [result["spec"]]
        )
        stack.callback(contestant.stop)
        contestant.ready()
        unit = result["batch"]
        unit *= max(1, round(median_rate(result) * bench.TURN_S.value / 2 / unit))
        found = {"n": [], "clips": []}
        for number in range(3):
            for multiple in MULTIPLES[:: -1 if number % 2 else 1]:
                for what, votes, clips in (
                    ("n", unit * multiple, 1), ("clips", unit, multiple)
                ):  # fmt: skip
                    turn = contestant.turn(votes, clips)
                    found[what].append({"multiple": multiple, **turn})
            say(f"scaling, round {number + 1} of 3")
        return {"name": result["name"], "unit": unit, **found}


def _start(spec: dict[str, Any]) -> subprocess.Popen:
    program = "from experiments.benchmarks import certify_sides; certify_sides.main()"
    # The contestants share an accelerator.
    environment = dict(os.environ, XLA_PYTHON_CLIENT_PREALLOCATE="false")
    if spec["side"] == "torch":
        # JAX makes its weights; that need not be compiled for each of them.
        home = pathlib.Path(flags.HOME.value).absolute()
        environment["JAX_COMPILATION_CACHE_DIR"] = str(home / "compiled")
    if spec.get("form") == "published":
        # What launch.sh tells the allocator is ours, and half of this loop's time.
        for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"):
            environment.pop(name, None)
    return subprocess.Popen(
        [sys.executable, "-c", program, json.dumps(spec)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env=environment,
    )


def _answer(process: subprocess.Popen) -> dict[str, Any]:
    line = process.stdout.readline()
    if not line:
        raise ValueError(
            "a contestant ended, see its message above. Without PyTorch: "
            "pip install 'advjax[bench]'"
        )
    return json.loads(line)


if __name__ == "__main__":
    app.run(main)
