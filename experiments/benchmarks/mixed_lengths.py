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
turns. Prints a Markdown table; --out=FOLDER also writes mixed_lengths.md there, every
turn as mixed_lengths.json, and mixed_lengths.png.
"""

import functools
import pathlib

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
from experiments.benchmarks import harness, results
from experiments.lab import clips

flags.declare(
    __name__,
    *(bench.TURNS, bench.PGD_STEPS, bench.BATCH_CHUNKS, flags.CORPUS),
    *(flags.CORPUS_DIR, flags.OUT, flags.HOME, flags.CACHE),
)

WIDTH = 16


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
    waves = {
        length // CHUNK_SAMPLES: np.stack(
            [clips.padded_wave(clip.audio) for clip in group]
        )
        for length, group in groups.items()
    }
    long = np.stack([clips.padded_wave(clip.audio, max(groups)) for clip in every])
    # Full batches of each length, for the rate that the floor is made of.
    full = {
        chunks: np.resize(x, (2 * _slots(chunks), x.shape[1]))
        for chunks, x in waves.items()
    }
    wasted = {
        _SORTED: clips.padding_waste(every),
        _LONGEST: 1 - sum(len(clip.audio) for clip in every) / long.size,
    }
    all_clips = functools.partial(harness.in_process, batch=len(every))
    contestants = [
        all_clips(_SORTED, "ours", lambda: [attack_all(x) for x in waves.values()]),
        all_clips(_LONGEST, "longest", lambda: attack_all(long)),
    ]
    for chunks, x in full.items():
        run = functools.partial(attack_all, x)
        contestants.append(
            harness.in_process(f"{chunks} chunks", "ceiling", run, batch=len(x))
        )
    found = harness.contest(contestants, rounds=bench.TURNS.value)
    one = results.Contest("mixed lengths", "clips", found, {"padding": wasted})
    chunk_s = min(
        result.median_s / chunks for chunks, result in zip(full, found[2:], strict=True)
    )
    floor_s = chunk_s * sum(chunks * len(x) for chunks, x in waves.items())

    def total_s(result: results.Result) -> float:
        return len(every) * result.median_s

    columns = {
        "s": lambda result: f"{total_s(result):.2f}",
        "padding, % of samples": lambda result: f"{100 * wasted[result.name]:.1f}",
        "over the floor": lambda result: f"{total_s(result) / floor_s:.2f}",
    }
    lengths = ", ".join(f"{len(x)} of {chunks}" for chunks, x in waves.items())
    notes = [
        f"{len(every)} clips of {sounds.name}: {lengths} chunks; {_num_steps()} "
        f"gradients a clip; the floor: {floor_s:.2f} s"
    ]
    table = results.table(one, {"longest": _LONGEST}, columns, notes)
    text, setting = tables.as_markdown(table), results.setting()
    print(results.write(flags.OUT.value, "mixed_lengths", [one], text, setting))


_SORTED, _LONGEST = "sorted buckets", "all as long as the longest"


def _num_steps() -> int:
    return flags.value_or(bench.PGD_STEPS, 10)


def _slots(chunks: int) -> int:
    return max(1, bench.BATCH_CHUNKS.value // chunks)


def _attack(logits_fn, x) -> None:
    attack = _built(_num_steps())
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
