"""The image front ends beside librosa with PyWavelets.

  python -m experiments.benchmarks.front_end_images

Computes spectrogram, Morlet scalogram and tonnetz images from the waveform, for clips
of a synthetic voice. The rival is librosa for transforms, chromagram and tonnetz,
`pywt.cwt` at precision 16 for the scalogram, and NumPy for the image, with one thread
and with one a core. Before anything is timed, both are compared with the definitions in
float64; the first call is apart. Ours also computes the gradient at the waveform, which
the rival has not.

Prints a Markdown table. --out=FOLDER also writes it there, as front_end_images.md,
every turn as front_end_images.json, and front_end_images.png.
"""

import functools
from collections.abc import Sequence

import numpy as np

from advjax import catalog
from advjax.reports import tables
from advjax.representations import PRESETS, Representation, definition
from advjax.runtime import parallel
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks import harness, problems, results
from experiments.benchmarks.front_end import our_pass
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import image_front_ends

TOLERANCE = 1e-3
"""Greatest error of our images, from 0 to 1: float32 at the least level shown, 80 dB
below the loudest."""

flags.declare(
    __name__,
    *(flags.REPRESENTATION, bench.IMAGE_CLIPS, bench.TURNS, flags.OUT, flags.SEED),
)


def main() -> None:
    """Compare, take turns, report."""
    # The recurrence plot has no rival in librosa.
    names = flags.REPRESENTATION.value or [name for name in PRESETS if name != "crp"]
    chosen = {text: catalog.pick(text, PRESETS) for text in names}
    problems.compile_afresh()
    contests = []
    for name, representation in chosen.items():
        clips, cotangent = problems.voices(
            representation, bench.IMAGE_CLIPS.value, flags.SEED.value
        )
        contests.append(
            compete(name, representation, clips, cotangent, bench.TURNS.value)
        )
    setting = results.setting(["librosa", "PyWavelets"])
    print(results.write(
        flags.OUT.value, "front_end_images", contests, summary(contests), setting,
        x="pixels",
    ))  # fmt: skip


def compete(
    name: str,
    representation: Representation,
    clips: np.ndarray,
    cotangent: np.ndarray,
    num_turns: int,
) -> Contest:
    """The contest at one front end.

    Args:
        name: of the front end in reports.
        representation: the image to compute.
        clips: waveforms [clips, time].
        cotangent: of the features, [clips, frames, bins].
        num_turns: of each contestant.

    Raises:
        ValueError: ours is not the image of the definitions.
    """
    # One clip is compared: the transform of the definition takes seconds.
    exact = image_front_ends.exact(representation)(clips[0])

    def check(entrants: Sequence[harness.Entrant]) -> None:
        for entrant in entrants:
            error = np.abs(np.asarray(entrant.result[0][0]) - exact)
            entrant.facts["error"] = float(error.max()), float(error.mean())
        worst, _ = entrants[0].facts["error"]
        if not worst <= TOLERANCE:
            raise ValueError(
                f"{name}: our image is off by {worst:.1e}; {TOLERANCE:.0e} is allowed"
            )

    theirs = image_front_ends.rival(representation)
    ways = [
        ("ours", "ours", our_pass(representation, clips, None)),
        ("ours, with gradient", "gradient", our_pass(representation, clips, cotangent)),
    ]
    for threads in sorted({1, parallel.num_cores()}):
        run = functools.partial(image_front_ends.in_threads, theirs, clips, threads)
        title = f"librosa and PyWavelets, threads: {threads}"
        ways.append((title, "rival", lambda run=run: (run(),)))
    found = harness.contest(
        [harness.in_process(*way, batch=len(clips)) for way in ways],
        rounds=num_turns,
        check=check,
        title=name,
    )
    shape = representation.feature_shape[:2]
    facts = {
        "panel": catalog.parse(name)[0],
        "pixels": shape[0] * shape[1],
        "representation": definition(representation),
        "clips": len(clips),
        "clip": f"{representation.num_samples:,} samples at "
        f"{representation.sample_rate_hz:,} Hz",
    }
    title = f"{name}, {shape[0]} x {shape[1]}"
    return Contest(title, "clips", found, facts)


def summary(contests: Sequence[Contest]) -> tables.Table:
    """A row for ours, ours with the gradient, and the faster rival."""

    def error(result: Result) -> str:
        greatest, mean = result.facts["error"]
        return f"{greatest:.0e} ({mean:.0e})"

    facts = contests[0].facts
    notes = [
        f"{facts['clips']} clips of a synthetic voice in a call, of {facts['clip']}",
        "ours: jit and vmap over the clips; with gradient: the image, and the gradient "
        "of a weighted sum of it at the waveform, which the rival has not",
        "librosa and PyWavelets: in float32, scalogram by pywt.cwt at precision "
        f"{image_front_ends.PRECISION}, image by two matrix products; the faster of "
        "one thread and one a core, each with clips of its own",
        "error: greatest (and mean) difference from the definitions in float64, of one "
        "clip; the values of an image are from 0 to 1",
    ]
    against = {"the rival": ["rival"]}
    return results.table(contests, against, {"error": error}, notes, only_best=True)


if __name__ == "__main__":
    app.run(main)
