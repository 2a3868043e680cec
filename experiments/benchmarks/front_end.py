"""The representations beside PyTorch, librosa and python_speech_features.

  python -m experiments.benchmarks.front_end

Computes every representation from the waveform, for clips of a synthetic voice as long
as the representation takes them: the features alone, and the features with the gradient
at the waveform, which an attack on the waveform needs. The rivals read their constants
from the representation; their features and gradients are compared with ours before
anything is timed. Then all take turns, every turn in another order. The first call,
which compiles, is apart. The last column relates ours to a ceiling measured in the same
turns: the bare transforms and mel products of as many frames, ready in memory.

Prints a Markdown table. --out=FOLDER also writes it there, as table.md, every turn as
front_end.json, and front_end.png.

PyTorch 2.13.0 comes with pip install 'advjax[bench]', python_speech_features with
'advjax[test]'; --rivals leaves out what is not there.
"""

import dataclasses
import importlib
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping

import jax

from advjax import catalog
from advjax.reports import figures, tables
from advjax.representations import REPRESENTATIONS, definition
from experiments import app, flags
from experiments.benchmarks import contest
from experiments.benchmarks import flags as bench
from experiments.benchmarks.front_end_contest import (
    LOOP_CLIPS,
    OURS,
    TOLERANCE,
    TURN_S,
    Contestant,
    Result,
    compete,
    problem,
)
from experiments.benchmarks.front_end_rivals import AT_ONCE, RIVALS, check_torch
from experiments.lab.console import say

_TIMED = ["magnitude", "mfbe", "logmel"]

flags.declare(
    __name__,
    flags.REPRESENTATION,
    bench.RIVALS,
    bench.CLIPS,
    bench.TURNS,
    flags.OUT,
    flags.SEED,
)


def main() -> None:
    """Compare, take turns, report."""
    table = {name: REPRESENTATIONS[name] for name in _TIMED}
    representations = {
        text: catalog.pick(text, table) for text in flags.REPRESENTATION.value or _TIMED
    }
    counts = [_count(text) for text in bench.CLIPS.value]
    libraries = bench.RIVALS.value or list(RIVALS)
    _import_rivals(libraries)
    # What compiling takes is measured, whatever an earlier start has left.
    jax.config.update("jax_enable_compilation_cache", False)
    results = []
    for name, representation in representations.items():
        for count in counts:
            clips, cotangent = problem(representation, count, flags.SEED.value)
            for wanted in (None, cotangent):
                result = compete(
                    name,
                    representation,
                    clips,
                    wanted,
                    libraries=libraries,
                    num_turns=bench.TURNS.value,
                )
                results.append(result)
                say(_progress(result))
    text = f"{tables.as_markdown(_table(results))}\n\n{contest.setting(libraries)}\n"
    print(text)
    if flags.OUT.value is not None:
        _write(pathlib.Path(flags.OUT.value), text, results)


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"--clips={text}: give whole numbers of 1 or more")
    return int(text)


def _import_rivals(libraries: list[str]) -> None:
    """Nothing; says what is missing before anything is computed."""
    for library in libraries:
        if library not in RIVALS:
            raise ValueError(f"--rivals={library}: choose among {', '.join(RIVALS)}")
        try:
            importlib.import_module(library)
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{error.name} is missing: pip install 'advjax[bench,test]', or leave "
                f"{library} out of --rivals"
            ) from error
    if "torch" in libraries:
        check_torch()


def _progress(result: Result) -> str:
    times = (f"{by} {one.median_s * 1e3:.3g}" for by, one in result.entrants.items())
    return f"{_title(result)}, {result.num_clips} clips, ms: {', '.join(times)}"


def _title(result: Result) -> str:
    return f"{result.name}, {result.kind}"


_FAMILIES = ("PyTorch", "librosa", "python_speech_features")
"""What the names of a rival's ways begin with."""
_HEADER = (
    "representation",
    "pass",
    "clips",
    "ours: first call, s",
    "clips/s",
    "s of audio/s",
    f"{AT_ONCE} at once, clips/s",
    *(f"{family}, clips/s" for family in _FAMILIES),
    "best rival",
    "differ by",
    "times the best rival",
    "turn by turn",
    "by fastest turns",
    f"{AT_ONCE} at once, times",
    "of the bare operations' speed",
)


def _table(results: list[Result]) -> tables.Table:
    clips = {r.name: r.representation for r in results}
    notes = [
        "features: from the waveform; gradient: the features, and the gradient of a "
        "weighted sum of them at the waveform. Clips of a synthetic voice, "
        + ", ".join(
            f"{name} of {one.num_samples:,} samples at {one.sample_rate_hz:,} Hz"
            for name, one in clips.items()
        ),
        "ours: jit and vmap over all clips, as the project's programs do it; "
        f"{AT_ONCE} at once: jax.lax.map over parts of the batch",
        "PyTorch: the fastest of torch.stft and frames with torch.fft.rfft, each with "
        f"all clips at once and with {AT_ONCE}, with one thread and with all",
        "differ by: the greatest difference of any other way from ours, relative to "
        "our largest value; refused beyond "
        + ", ".join(f"{limit:.0e} ({name})" for name, limit in TOLERANCE.items()),
        f"medians of {len(results[0].entrants['ours'].wall_s)} turns, every turn in "
        f"another order, of {TURN_S:g} s at least; turn by turn: the least and the "
        "greatest ratio of a turn; by fastest turns: the ratio that other programs on "
        "the machine disturb least",
        "of the bare operations' speed: the time of the transforms and mel products of "
        "as many frames that lie ready in memory, by the fastest of XLA, PyTorch and "
        "SciPy (twice that with the gradient), over the time of ours",
        f"{tables.DASH}: left out, without gradients, or a loop over clips, whose rate "
        f"more than {LOOP_CLIPS} of them do not change",
    ]
    return tables.Table(_HEADER, [_row(result) for result in results], notes)


def _row(result: Result) -> list[str]:
    ours, best = result.entrants["ours"], result.best_rival
    in_parts = result.entrants.get(OURS[1])
    representation = result.representation
    clip_s = representation.num_samples / representation.sample_rate_hz
    against = [tables.DASH] * 6
    if best is not None:
        turns = result.ratios(best)
        differences = [d[1] for by in result.difference.values() for d in by.values()]
        fastest = min(one.fastest_s for one in result.rivals.values())
        against = [
            best,
            f"{max(differences):.0e}",
            f"{result.rivals[best].median_s / ours.median_s:.2f}",
            f"{min(turns):.2f} to {max(turns):.2f}",
            f"{fastest / ours.fastest_s:.2f}",
            f"{result.rivals[best].median_s / in_parts.median_s:.2f}"
            if in_parts
            else tables.DASH,
        ]
    return [
        result.name,
        result.kind,
        str(result.num_clips),
        f"{ours.first_s:.2f}",
        f"{result.num_clips / ours.median_s:,.0f}",
        f"{result.num_clips * clip_s / ours.median_s:,.0f}",
        f"{result.num_clips / in_parts.median_s:,.0f}" if in_parts else tables.DASH,
        *(_best_rate(result, prefix) for prefix in _FAMILIES),
        *against,
        f"{result.least_s / ours.median_s:.2f}" if result.ceiling else tables.DASH,
    ]


def _best_rate(result: Result, family: str) -> str:
    rate = _rates(result).get(family)
    return tables.DASH if rate is None else f"{rate:,.0f}"


def _rates(result: Result) -> dict[str, float]:
    """Clips a second of ours, each way, and of the fastest of each rival's ways."""
    times: dict[str, float] = {}
    for by, one in result.entrants.items():
        title = by if by in OURS else by.split()[0]
        times[title] = min(times.get(title, one.median_s), one.median_s)
    return {title: result.num_clips / took for title, took in times.items()}


def _write(folder: pathlib.Path, table: str, results: list[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table, encoding="utf-8")
    every_turn = {
        "environment": app.environment(),
        "machine": contest.setting(bench.RIVALS.value or list(RIVALS)),
        "results": [_spelled(result) for result in results],
    }
    (folder / "front_end.json").write_text(
        json.dumps(every_turn, indent=1) + "\n", encoding="utf-8"
    )
    _draw(folder / "front_end.png", results)


def _spelled(result: Result) -> dict:
    """A result as JSON has it."""

    def times(contestants: Mapping[str, Contestant]) -> dict:
        return {
            name: {
                field.name: getattr(one, field.name)
                for field in dataclasses.fields(one)
                if field.name != "call"
            }
            for name, one in contestants.items()
        }

    return {
        "name": result.name,
        "representation": definition(result.representation),
        "pass": result.kind,
        "clips": result.num_clips,
        "difference": result.difference,
        "entrants": times(result.entrants),
        "left_out_s": result.left_out,
        "ceiling": times(result.ceiling),
    }


def _draw(path: pathlib.Path, results: list[Result]) -> None:
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for result in results:
        panel = panels.setdefault(_title(result), {})
        for by, rate in _rates(result).items():
            panel.setdefault(by, []).append((result.num_clips, rate))
    figures.log_log_plot(panels, path, x_label="clips in a call", y_label="clips/s")


if __name__ == "__main__":
    app.run(main)
