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

import functools

import jax
import numpy as np

from advjax import catalog
from advjax.reports import tables
from advjax.representations import PRESETS, Representation, Stacked, definition
from advjax.runtime import parallel
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.front_end import our_pass
from experiments.benchmarks.results import Contest
from experiments.benchmarks.rivals import image_front_ends

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
    *(flags.REPRESENTATION, bench.IMAGE_CLIPS, bench.TURNS, flags.OUT, flags.SEED),
)


def main() -> None:
    """Compare, take turns, report."""
    names = flags.REPRESENTATION.value or _JUDGED_IMAGES
    chosen = {text: catalog.pick(text, PRESETS) for text in names}
    # What compiling takes is measured, whatever an earlier start has left.
    jax.config.update("jax_enable_compilation_cache", False)
    contests = []
    for name, representation in chosen.items():
        clips, cotangent = problems.voices(
            representation, bench.IMAGE_CLIPS.value, flags.SEED.value
        )
        contests.append(
            compete(name, representation, clips, cotangent, bench.TURNS.value)
        )
    # Rates over the number of pixels, where there is more than one size.
    panels: dict[str, dict[str, list[tuple[float, float]]]] = {}
    for one in contests:
        panel = panels.setdefault(catalog.parse(one.title)[0], {})
        for result in one.results:
            title = result.name.replace(_RIVAL, "rival")  # the legend is narrow
            pixels = float(np.prod(one.facts["shape"]))
            panel[title] = sorted([*panel.get(title, []), (pixels, result.rate)])
    text = tables.as_markdown(summary(contests))
    setting = results.setting(["librosa", "PyWavelets"])
    print(results.write(
        flags.OUT.value, "front_end_images", contests, text, setting,
        markdown="table.md", panels=panels, x_label="pixels",
    ))  # fmt: skip


def compete(
    name: str,
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray,
    num_turns: int,
) -> Contest:
    """The contest at one front end, once ours is right.

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
    theirs = image_front_ends.rival(representation)
    in_threads = functools.partial(image_front_ends.in_threads, theirs, clips)
    in_process = functools.partial(harness.in_process, batch=len(clips))
    contestants = [
        in_process(_OURS, _OURS, our_pass(representation, clips, None)),
        in_process(_GRADIENT, _GRADIENT, our_pass(representation, clips, cotangent)),
        *(
            in_process(
                f"{_RIVAL}, threads: {n}", _RIVAL, functools.partial(in_threads, n)
            )
            for n in sorted({1, parallel.num_cores()})
        ),
    ]
    facts = {
        "shape": representation.feature_shape[:2],
        "representation": definition(representation),
        "clips": len(clips),
        "clip": f"{representation.num_samples:,} samples at "
        f"{representation.sample_rate_hz:,} Hz",
        "errors": errors,
    }
    found = harness.contest(contestants, rounds=num_turns, title=name)
    return Contest(name, "clips", found, facts)


def _errors(representation: Representation, clips: np.ndarray):
    """Greatest and mean errors, by what is compared and by who computed it."""
    shown = representation
    while isinstance(shown, Stacked):
        shown = shown.first
    stages = {"image": representation, "spectrogram": shown.source}
    found = {}
    for what, stage in stages.items():
        exact = np.stack([image_front_ends.exact(stage)(clip) for clip in clips])
        rival = image_front_ends.rival(stage)
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
    "by CPU time",
    "ours: error of the image",
    "mean",
    "of the spectrogram",
    "rival: error of the image",
    "mean",
    "of the spectrogram",
)


def summary(contests: list[Contest]) -> tables.Table:
    """A row for each front end."""
    one = contests[0]
    notes = [
        f"{one.facts['clips']} clips of a synthetic voice in a call, of "
        f"{one.facts['clip']}",
        "ours: jit and vmap over the clips; with gradient: the image, and the gradient "
        "of a weighted sum of it at the waveform, which the rival has not",
        f"{_RIVAL}: in float32, scalogram by pywt.cwt at precision "
        f"{image_front_ends.PRECISION}, image by two matrix products; the faster of "
        "one thread and one a core, each with clips of its own",
        "errors: differences from the definitions in float64, of "
        f"{_JUDGED} clip. Image: the greatest and the mean, of values from 0 to 1. "
        "Spectrogram (what the image is made of): the greatest, relative to the "
        "largest value",
        results.rounds_note(one),
    ]
    return tables.Table(_HEADER, [_row(one) for one in contests], notes)


def _row(one: Contest) -> list[str]:
    ours, rival, gradient = (one.best(kind) for kind in (_OURS, _RIVAL, _GRADIENT))
    errors = [
        f"{value:.0e}"
        for by in (_OURS, _RIVAL)
        for value in (
            *one.facts["errors"]["image"][by],
            one.facts["errors"]["spectrogram"][by][0],
        )
    ]
    return [
        one.title,
        " x ".join(str(side) for side in one.facts["shape"]),
        f"{ours.first.wall_s:.1f}",
        f"{ours.rate:.3g}",
        f"{gradient.rate:.3g}",
        f"{rival.rate:.3g}",
        rival.name.rsplit(maxsplit=1)[-1],
        str(results.ratio(ours, rival)),
        str(results.ratio(ours, rival, "cpu_s")),
        *errors,
    ]


if __name__ == "__main__":
    app.run(main)
