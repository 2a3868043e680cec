"""Attacking clips of mixed lengths: by their length, in a few programs, or in one.

  python -m experiments.benchmarks.mixed_lengths --corpus_dir=FSDKaggle2018

Takes all clips of a corpus, at 32 kHz, and VGG13 with a quarter of its channels on
log-mel chunks; its weights are the initial ones, on which no time depends. Each clip is
attacked by PGD with --pgd_steps gradients, in three ways: padded to whole chunks and
batched with clips of as many chunks, the number of slots chosen so that a batch has
--batch_chunks of them; padded further to 1, 2, 4, 8, ... chunks, with the results of
its own length; and padded to the longest clip, as part of the clip. The ceiling is the
rate at which full batches of the fastest length would attack the chunks of all clips,
padding within a clip's last chunk included, since the network's front end asks for
whole ones.

Every way runs once before it is timed, which compiles its programs. Prints a Markdown
table; --out=FOLDER also writes mixed_lengths.md there, every turn as
mixed_lengths.json, and mixed_lengths.png.
"""

import functools
import pathlib

import jax
import numpy as np

from advjax.attacks import Attack, eps_for_snr, pgd, run_batch
from advjax.classifier import Classifier, initialise
from advjax.models import VGG13
from advjax.padding import Padded, apart, pad
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
_SORTED, _FEW = "sorted buckets", "few programs"
_LONGEST = "all as long as the longest"


def main() -> None:
    """Time all ways and full batches of each length in turns."""
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
    num_steps = flags.value_or(bench.PGD_STEPS, 10)
    attack_all = functools.partial(
        _attack, pgd(num_steps=num_steps, stop="last"), classifier.logits_fn("waveform")
    )
    pairs = [(clip, clips.padded_wave(clip.audio)) for clip in every]
    groups = clips.by_length(pairs)
    waves = {n // CHUNK_SAMPLES: np.stack(group) for n, group in groups.items()}
    few = [pad(x, n) for n, x in clips.in_buckets(pairs, padded=True)]
    long = np.stack([clips.padded_wave(clip.audio, max(groups)) for clip in every])
    filled = sum(len(clip.audio) for clip in every)
    wasted = {
        _SORTED: clips.padding_waste(every),
        _FEW: 1 - filled / sum(padded.x.size for padded in few),
        _LONGEST: 1 - filled / long.size,
    }
    all_clips = functools.partial(harness.in_process, batch=len(every))
    contestants = [
        all_clips(_SORTED, "ours", lambda: [attack_all(x) for x in waves.values()]),
        all_clips(_FEW, "few", lambda: [attack_all(x) for x in few]),
        all_clips(_LONGEST, "longest", lambda: attack_all(long)),
    ]
    for chunks, x in waves.items():
        full = np.resize(x, (2 * _slots(chunks), x.shape[1]))
        run = functools.partial(attack_all, full)
        contestants.append(
            harness.in_process(f"{chunks} chunks", "ceiling", run, batch=len(full))
        )
    found = harness.contest(contestants, rounds=bench.TURNS.value)
    chunk_s = min(
        result.median_s / chunks
        for chunks, result in zip(waves, found[3:], strict=True)
    )
    num_chunks = sum(chunks * len(x) for chunks, x in waves.items())
    programs = {_SORTED: len(waves), _FEW: len(few), _LONGEST: 1}
    facts = {"padding": wasted, "ceiling": len(every) / (chunk_s * num_chunks)}
    one = results.Contest("mixed lengths", "clips", found, facts)
    columns = {
        "s": lambda result: f"{len(every) * result.median_s:.2f}",
        "padding, % of samples": lambda result: f"{100 * wasted[result.name]:.1f}",
        "programs": lambda result: f"{programs[result.name]}",
    }
    lengths = ", ".join(f"{len(x)} of {chunks}" for chunks, x in waves.items())
    notes = [
        f"{len(every)} clips of {sounds.name}: {lengths} chunks; {num_steps} gradients "
        "a clip; the ceiling: full batches of the fastest length"
    ]
    table = results.table([one], {_LONGEST: ["longest"]}, columns, notes)
    setting = results.setting()
    print(results.write(flags.OUT.value, "mixed_lengths", [one], table, setting))


def _slots(chunks: int) -> int:
    return max(1, bench.BATCH_CHUNKS.value // chunks)


def _attack(attack: Attack, logits_fn, x: np.ndarray | Padded) -> None:
    rows, _ = apart(x)
    budgets = [float(eps_for_snr(row, snr_db=30.0, norm="linf")) for row in rows]
    labels = np.zeros(len(rows), np.int32)
    keys = jax.random.split(jax.random.key(0), len(rows))
    slots = _slots(rows.shape[1] // CHUNK_SAMPLES)
    for _ in run_batch(
        attack, logits_fn, x, labels, keys, np.float32(budgets), num_slots=slots
    ):
        pass


if __name__ == "__main__":
    app.run(main)
