"""Attacking clips of mixed lengths: in sorted buckets, or all as long as the longest.

  python -m experiments.benchmarks.mixed_lengths --corpus_dir=FSDKaggle2018

Takes all clips of a corpus, at 32 kHz, and VGG13 with a quarter of its channels on
log-mel chunks; its weights are the initial ones, on which no time depends. Each clip is
attacked by PGD with --pgd_steps gradients, in two ways: padded to whole chunks and
batched with clips of as many chunks, the number of slots chosen so that a batch has
--batch_chunks of them; and padded to the longest clip. The floor is what the chunks of
all clips would take at the rate of full batches of the fastest bucket, padding within a
clip's last chunk included, since the network's front end asks for whole ones.

Every way runs once before it is timed, which compiles its programs; then they take
turns. Prints a Markdown table; --out=FOLDER also writes mixed_lengths.md there.
"""

import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np

from advjax.attacks import eps_for_snr, pgd, run_batch
from advjax.classifier import Classifier, initialise
from advjax.models import VGG13
from advjax.reports import tables
from advjax.representations import LogMelChunks
from advjax.representations.chunks import CHUNK_SAMPLES
from experiments import app, flags
from experiments.benchmarks import flags as bench
from experiments.benchmarks.turns import median_seconds
from experiments.lab import clips

WIDTH = 16
flags.declare(
    __name__,
    bench.TURNS,
    bench.PGD_STEPS,
    bench.BATCH_CHUNKS,
    flags.CORPUS,
    flags.CORPUS_DIR,
    flags.OUT,
    flags.HOME,
    flags.CACHE,
)


def main() -> None:
    """Time both ways and the floor in turns."""
    corpus = flags.CORPUS.value if flags.is_set(flags.CORPUS) else "fsdkaggle2018"
    front_end = LogMelChunks()
    sounds = clips.load(
        corpus,
        flags.CORPUS_DIR.value or "",
        pathlib.Path(flags.HOME.value),
        front_end.sample_rate_hz,
    )
    every = [sound for split in sounds.splits.values() for sound in split]
    module = VGG13(num_classes=len(sounds.labels), width=WIDTH)
    variables = initialise(module, front_end, jax.random.key(0))
    classifier = Classifier(variables, module, front_end, sounds.labels)
    attack_all = functools.partial(_attack, classifier.logits_fn("waveform"))
    groups = clips.by_length((clip, clip) for clip in every)
    counts = {length // CHUNK_SAMPLES: len(group) for length, group in groups.items()}
    total = sum(chunks * count for chunks, count in counts.items())
    waves = {
        length: np.stack([clips.padded_wave(clip.audio) for clip in group])
        for length, group in groups.items()
    }
    long = np.stack([clips.padded_wave(clip.audio, max(groups)) for clip in every])
    ways: dict[str, Callable[[], None]] = {
        "sorted buckets": lambda: [attack_all(x) for x in waves.values()],
        "all as long as the longest": lambda: attack_all(long),
    }
    # Full batches of each length, for the rate that the floor is made of.
    full = {
        f"{chunks} chunks": np.resize(
            waves[chunks * CHUNK_SAMPLES], (2 * _slots(chunks), chunks * CHUNK_SAMPLES)
        )
        for chunks in counts
    }
    ways |= {name: functools.partial(attack_all, x) for name, x in full.items()}
    taken = median_seconds(ways, turns=bench.TURNS.value)
    per_chunk = min(
        taken[name] / (len(x) * x.shape[1] // CHUNK_SAMPLES) for name, x in full.items()
    )
    floor = per_chunk * total
    wasted = {
        "sorted buckets": clips.padding_waste(every),
        "all as long as the longest": 1
        - sum(len(clip.audio) for clip in every) / long.size,
    }
    rows = [
        [
            name,
            f"{taken[name]:.2f}",
            f"{len(every) / taken[name]:.2f}",
            f"{100 * wasted[name]:.1f}",
            f"{taken[name] / floor:.2f}",
        ]
        for name in wasted
    ]
    rows.append(["floor", f"{floor:.2f}", f"{len(every) / floor:.2f}", "", "1.00"])
    header = ("way", "s", "clips/s", "padding, % of samples", "over the floor")
    device = app.environment()["device"]
    lengths = ", ".join(f"{count} of {chunks}" for chunks, count in counts.items())
    text = (
        f"{len(every)} clips of {sounds.name}: {lengths} chunks. "
        f"{flags.value_or(bench.PGD_STEPS, 10)} gradients a clip; medians of "
        f"{bench.TURNS.value} turns on {device}.\n\n"
        f"{tables.markdown_table(header, rows)}\n"
    )
    print(text)
    if flags.OUT.value is not None:
        folder = pathlib.Path(flags.OUT.value)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "mixed_lengths.md").write_text(text, encoding="utf-8")


def _slots(chunks: int) -> int:
    return max(1, bench.BATCH_CHUNKS.value // chunks)


def _attack(logits_fn, x) -> None:
    attack = _built(flags.value_or(bench.PGD_STEPS, 10))
    budgets = [float(eps_for_snr(row, snr_db=30.0, norm="linf")) for row in x]
    labels = np.zeros(len(x), np.int32)
    keys = jax.random.split(jax.random.key(0), len(x))
    slots = _slots(x.shape[1] // CHUNK_SAMPLES)
    for _ in run_batch(
        attack, logits_fn, x, labels, keys, np.float32(budgets), num_slots=slots
    ):
        pass


# One object, so that its compiled programs are found again.
_built = functools.cache(lambda steps: pgd(num_steps=steps, stop="last"))


if __name__ == "__main__":
    app.run(main)
