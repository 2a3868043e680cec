"""The image front ends beside librosa with PyWavelets.

  python -m experiments.benchmarks.front_end_images

Computes spectrogram, Morlet scalogram and tonnetz images from the waveform, for clips
of a synthetic voice. The rival is librosa for transforms, chromagram and tonnetz,
`pywt.cwt` at precision 16 for the scalogram, and NumPy for the image, with one thread
and with one a core. Before anything is timed, both are compared with the definitions in
float64. Then all take turns, every turn in another order; the first call is apart. Ours
also computes the gradient at the waveform, which the rival has not.

Prints a Markdown table. --out=FOLDER also writes it there, as table.md, every turn as
front_end_images.json, and front_end_images.png.
"""

import dataclasses
import functools
import json
import pathlib

import jax
import numpy as np

from advjax import catalog
from advjax.reports import figures, tables
from advjax.representations import PRESETS, Representation, Stacked, definition
from experiments import app, flags
from experiments.benchmarks import contest, front_end_image_rivals
from experiments.benchmarks import flags as bench
from experiments.benchmarks.front_end_contest import (
    Contestant,
    first_call,
    our_pass,
    problem,
    take_turns,
)
from experiments.lab.console import say

_RIVAL_PACKAGES = ("librosa", "PyWavelets")
_OURS, _GRADIENT, _RIVAL = "ours", "ours, with gradient", "librosa and PyWavelets"
_JUDGED = 1
"""Clips that are compared with the definitions, whose transform takes seconds."""
TOLERANCE = 1e-3
"""Greatest error of our images, from 0 to 1: float32 at the least level shown, 80 dB
below the loudest."""

# The recurrence plot has no rival in librosa.
_JUDGED_IMAGES = [name for name in PRESETS if name != "crp"]

flags.declare(
    __name__,
    flags.REPRESENTATION,
    bench.IMAGE_CLIPS,
    bench.TURNS,
    flags.OUT,
    flags.SEED,
)


@dataclasses.dataclass
class Result:
    """All contestants at one front end.

    Attributes:
        name: the front end, as it was asked for.
        representation: what was computed.
        num_clips: in a call.
        errors: of ours and of the rival, by what it is of: the greatest and the mean
            difference from the definitions.
        entrants: ours, ours with the gradient, and the rival's ways.
    """

    name: str
    representation: Representation
    num_clips: int
    errors: dict[str, dict[str, tuple[float, float]]]
    entrants: dict[str, Contestant]

    @property
    def best_rival(self) -> str:
        """The rival's way with the shortest median."""
        ways = [by for by in self.entrants if by.startswith(_RIVAL)]
        return min(ways, key=lambda by: self.entrants[by].median_s)

    @property
    def ratios(self) -> list[float]:
        """How many times as long as ours the best rival took, turn by turn."""
        ours, theirs = self.entrants[_OURS], self.entrants[self.best_rival]
        return [b / a for a, b in zip(ours.wall_s, theirs.wall_s, strict=True)]

    @property
    def processor_ratio(self) -> float:
        """How many times as long as ours the rival's least turn kept cores at work."""
        ways = [one for by, one in self.entrants.items() if by.startswith(_RIVAL)]
        theirs = min(min(one.cpu_s) for one in ways)
        return theirs / min(self.entrants[_OURS].cpu_s)


def main() -> None:
    """Compare, take turns, report."""
    chosen = {
        text: catalog.pick(text, PRESETS)
        for text in flags.REPRESENTATION.value or _JUDGED_IMAGES
    }
    # What compiling takes is measured, whatever an earlier start has left.
    jax.config.update("jax_enable_compilation_cache", False)
    results = []
    for name, representation in chosen.items():
        clips, cotangent = problem(
            representation, bench.IMAGE_CLIPS.value, flags.SEED.value
        )
        results.append(
            compete(name, representation, clips, cotangent, bench.TURNS.value)
        )
        times = ", ".join(
            f"{by} {one.median_s * 1e3:.3g}" for by, one in results[-1].entrants.items()
        )
        say(f"{name}, {bench.IMAGE_CLIPS.value} clips, ms: {times}")
    setting = contest.setting(_RIVAL_PACKAGES)
    text = f"{tables.as_markdown(_table(results))}\n\n{setting}\n"
    print(text)
    if flags.OUT.value is not None:
        _write(pathlib.Path(flags.OUT.value), text, results)


def compete(
    name: str,
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray,
    num_turns: int,
) -> Result:
    """The result of all contestants in turns, once ours is right.

    Args:
        name: of the front end in reports.
        representation: what to compute.
        clips: waveforms [clips, time].
        cotangent: of the features, [clips, frames, bins].
        num_turns: of each contestant.

    Raises:
        ValueError: ours is not what the definitions say.
    """
    errors = _errors(representation, clips[:_JUDGED])
    worst = errors["image"][_OURS][0]
    if not worst <= TOLERANCE:
        raise ValueError(
            f"{name}: our image is off by {worst:.1e}; {TOLERANCE:.0e} is allowed"
        )
    entrants = {
        _OURS: Contestant(our_pass(representation, clips, None)),
        _GRADIENT: Contestant(our_pass(representation, clips, cotangent)),
    }
    theirs = front_end_image_rivals.rival(representation)
    for threads in sorted({1, contest.num_cores()}):
        entrants[f"{_RIVAL}, threads: {threads}"] = Contestant(
            functools.partial(front_end_image_rivals.in_threads, theirs, clips, threads)
        )
    for one in entrants.values():
        first_call(one)
    take_turns(list(entrants.values()), num_turns)
    return Result(name, representation, len(clips), errors, entrants)


def _errors(representation: Representation, clips: np.ndarray):
    """By what is compared and who computed it, see `Result`."""
    shown = representation
    while isinstance(shown, Stacked):
        shown = shown.first
    stages = {"image": representation, "spectrogram": shown.source}
    found = {}
    for what, stage in stages.items():
        exact = np.stack([front_end_image_rivals.exact(stage)(clip) for clip in clips])
        rival = front_end_image_rivals.rival(stage)
        arrays = {
            _OURS: np.asarray(our_pass(stage, clips, None)()[0]),
            _RIVAL: np.stack([rival(clip) for clip in clips]),
        }
        largest = exact.max()
        found[what] = {
            by: _difference(array, exact, 1.0 if what == "image" else largest)
            for by, array in arrays.items()
        }
    return found


def _difference(found, exact, unit: float) -> tuple[float, float]:
    difference = np.abs(found - exact) / unit
    return float(difference.max()), float(difference.mean())


_HEADER = (
    "front end",
    "image",
    "ours: first call, s",
    "clips/s",
    "with gradient, clips/s",
    f"{_RIVAL}, clips/s",
    "threads",
    "times the rival",
    "turn by turn",
    "by processor time",
    "ours: error of the image",
    "mean",
    "of the spectrogram",
    "rival: error of the image",
    "mean",
    "of the spectrogram",
)


def _table(results: list[Result]) -> tables.Table:
    one = results[0].representation
    notes = [
        f"{results[0].num_clips} clips of a synthetic voice in a call, of "
        f"{one.num_samples:,} samples at {one.sample_rate_hz:,} Hz",
        "ours: jit and vmap over the clips; with gradient: the image, and the gradient "
        "of a weighted sum of it at the waveform, which the rival has not",
        f"{_RIVAL}: in float32, scalogram by pywt.cwt at precision "
        f"{front_end_image_rivals.PRECISION}, image by two matrix products; the faster "
        "of one thread and one a core, each with clips of its own",
        "errors: differences from the definitions in float64, of "
        f"{_JUDGED} clip. Image: the greatest and the mean, of values from 0 to 1. "
        "Spectrogram (what the image is made of): the greatest, relative to the "
        "largest value",
        f"medians of {len(results[0].ratios)} turns, every turn in another order; turn "
        "by turn: the least and the greatest ratio of a turn; by processor time: the "
        "ratio of the seconds that all cores together worked in the least turns, which "
        "other programs on the machine hardly change",
    ]
    return tables.Table(_HEADER, [_row(result) for result in results], notes)


def _row(result: Result) -> list[str]:
    best = result.entrants[result.best_rival]
    rates = {by: result.num_clips / one.median_s for by, one in result.entrants.items()}
    errors = [
        f"{value:.0e}"
        for by in (_OURS, _RIVAL)
        for value in (*result.errors["image"][by], result.errors["spectrogram"][by][0])
    ]
    return [
        result.name,
        " x ".join(str(side) for side in result.representation.feature_shape[:2]),
        f"{result.entrants[_OURS].first_s:.1f}",
        f"{rates[_OURS]:.3g}",
        f"{rates[_GRADIENT]:.3g}",
        f"{rates[result.best_rival]:.3g}",
        result.best_rival.rsplit(maxsplit=1)[-1],
        f"{best.median_s / result.entrants[_OURS].median_s:.1f}",
        f"{min(result.ratios):.1f} to {max(result.ratios):.1f}",
        f"{result.processor_ratio:.1f}",
        *errors,
    ]


def _write(folder: pathlib.Path, table: str, results: list[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.md").write_text(table, encoding="utf-8")
    every_turn = {
        "environment": app.environment(),
        "machine": contest.setting(_RIVAL_PACKAGES),
        "results": [
            {
                "name": result.name,
                "representation": definition(result.representation),
                "clips": result.num_clips,
                "errors": result.errors,
                "entrants": {
                    by: {
                        "first_s": one.first_s,
                        "wall_s": one.wall_s,
                        "cpu_s": one.cpu_s,
                    }
                    for by, one in result.entrants.items()
                },
            }
            for result in results
        ],
    }
    (folder / "front_end_images.json").write_text(
        json.dumps(every_turn, indent=1) + "\n",
        encoding="utf-8",
    )
    _draw(folder / "front_end_images.png", results)


def _draw(path: pathlib.Path, results: list[Result]) -> None:
    """Rates over the number of pixels, where there is more than one size."""
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for result in results:
        panel = panels.setdefault(catalog.parse(result.name)[0], {})
        pixels = float(np.prod(result.representation.feature_shape))
        for by, one in result.entrants.items():
            title = by.replace(_RIVAL, "rival")  # the legend is narrow
            panel.setdefault(title, []).append(
                (pixels, result.num_clips / one.median_s)
            )
    panels = {
        name: {by: sorted(line) for by, line in panel.items()}
        for name, panel in panels.items()
    }
    figures.log_log_plot(panels, path, x_label="pixels", y_label="clips/s")


if __name__ == "__main__":
    app.run(main)
