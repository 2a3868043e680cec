"""Build records: examples cut from a corpus, with the features of a representation.

  python -m data_prep.build --corpus=voices --rep=mfbe --out=FOLDER
  python -m data_prep.build --corpus=librispeech --corpus_dir=DIR --out=FOLDER
  python -m data_prep.build --corpus="voices(num_speakers=20)" --crops_train=200 ...
  python -m data_prep.build --corpus="esc50(fold=2)" --corpus_dir=DIR --out=FOLDER

Recordings are decoded, resampled, cut and rounded to 16 bits. The features are computed
from these 16-bit samples, by the same code as in a network's front end. Features above
1 MiB, as of large images, are not stored: readers compute them. The `metadata` of the
records has the settings, the counts and the recordings left out.
"""

import collections
import dataclasses
import functools
import inspect
import itertools
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from absl import flags
from jaxtyping import Float32

from advjax import catalog, records
from advjax.representations import FRONT_ENDS, Representation
from advjax.runtime import failures
from advjax.runtime.locks import reserve
from advjax.runtime.paths import user_path
from advjax.runtime.progress import Progress
from advjax.runtime.text import printable
from advjax.signal.samples import from_int16
from data_prep import help, installed_corpora, program
from data_prep.clips import UnreadableAudio
from data_prep.corpora import CORPORA
from data_prep.corpora.base import (
    SAMPLE_RATE_HZ,
    SPLITS,
    Corpus,
    Utterance,
)
from data_prep.crops import WHOLE, Crop, Skipped, crops
from data_prep.program_flags import CROPS_PER_CLASS, POLICY, define_build_flags

BATCH_SIZE = 64
LARGEST_STORED = 2**20
"""Bytes of the largest features that are stored; our choice.

The audio of an image of 1568 x 1308 has a hundredth of its bytes, and a training step
makes the image in less time than a disk takes to give it.
"""
MOST_TOLD = 20  # skipped recordings that are named

INTERRUPTED = "interrupted: nothing is kept, the same command builds anew"


def build(
    corpus: Corpus,
    representation: Representation,
    folder: records.Path,
    *,
    crops_per_class: Mapping[str, int] = CROPS_PER_CLASS,
    policy: Mapping[str, str] = POLICY,
    seed: int = 0,
    on_error: str = "stop",
    file_format: str = "array_record",
    options: Mapping[str, Any] | None = None,
) -> records.Info:
    """Build records of every requested split in `folder`; progress on standard error.

    Args:
        corpus: source of the utterances.
        representation: of the features; its waveform sets the length of an example.
        folder: of the records, as for `records.write`.
        crops_per_class: number of examples of each class, by split. A split that is
            missing here, or has no utterances, is not built. A corpus of whole clips
            gives all.
        policy: placement of crops by split, a name in `data_prep.crops.POLICIES`. A
            corpus of whole clips has the policy "whole" instead.
        seed: of the random policy.
        on_error: "stop" raises at the first unusable recording; "skip" lists it under
            `metadata["skipped"]`.
        file_format: "array_record" or "npz".
        options: of the corpus, for the metadata.

    Raises:
        FileExistsError: `folder` holds such records.
        ValueError: an empty corpus, an unknown option, or a recording that is
            unreadable, empty or not finite (`UnreadableAudio`).
    """
    corpus = _usable(corpus)
    sizes = {split: len(corpus.utterances(split)) for split in SPLITS}
    wanted = [split for split in SPLITS if split in crops_per_class and sizes[split]]
    if not wanted:
        raise ValueError(
            f"{corpus.name} has no utterances to build records from: "
            + ", ".join(f"{sizes[split]} in {split}" for split in SPLITS)
        )
    skipped = [Skipped(*each) for each in corpus.left_out.items()]
    counts = {split: dict.fromkeys(corpus.labels, 0) for split in wanted}
    manners: dict[str, dict[str, Any]] = {
        split: {"policy": WHOLE, "trimmed": 0}
        if corpus.whole
        else {"policy": policy[split], "per_class": crops_per_class[split]}
        for split in wanted
    }
    # JSON accepts tuples and counters. They grow while examples are made, and are
    # stored afterwards.
    manifest = {
        "corpus": corpus.name,
        "corpus_options": dict(options or {}),
        "seed": seed,
        "crops": manners,
        "counts": counts,
        "utterances": {split: sizes[split] for split in wanted},
        "on_error": on_error,
        "skipped": skipped,
    }
    if corpus.caveat:
        manifest["caveat"] = corpus.caveat
    if corpus.not_tested:
        manifest["not_tested"] = corpus.not_tested
    if corpus.notes:
        manifest["notes"] = corpus.notes
    if corpus.found:
        manifest["found"] = corpus.found
    if corpus.listing:
        manifest["listing"] = dict(corpus.listing)
    every = (each for split in wanted for each in corpus.utterances(split))
    if unverified := sorted(each.id for each in every if not each.verified):
        manifest["unverified"] = unverified
    total = sum(sizes[split] for split in wanted)
    stored = stores_features(representation)
    with Progress(f"build {corpus.name}", total=total, unit="utterances") as progress:
        splits = {
            split: _examples(
                crops(
                    corpus,
                    split,
                    policy=manners[split]["policy"],
                    per_class=crops_per_class[split],
                    num_samples=representation.num_samples,
                    seed=seed,
                    on_error=on_error,
                    skipped=skipped,
                    progress=progress.advance,
                ),
                representation if stored else None,
                corpus.labels,
                counts[split],
                manners[split],
            )
            for split in wanted
        }
        return records.write(
            folder,
            splits,
            name=corpus.name,
            representation=representation,
            labels=corpus.labels,
            metadata=manifest,
            file_format=file_format,
            features=stored,
        )


def stores_features(representation: Representation) -> bool:
    """True if new records hold the features, and not only the audio of large ones."""
    entries = math.prod(representation.feature_shape)
    return entries * np.dtype(np.float32).itemsize <= LARGEST_STORED


def features_of(
    representation: Representation, waves: Float32[np.ndarray, "batch time"]
) -> Float32[np.ndarray, "batch *features"]:
    """Features of several waves, as they are stored in records."""
    return np.asarray(features_program(representation)(waves))


@functools.cache
def features_program(representation: Representation) -> Any:
    """The program of `features_of`, a function of the waves."""
    return jax.jit(representation.apply_each)


def _examples(
    cut: Iterable[Crop],
    representation: Representation | None,
    labels: Sequence[str],
    counts: dict[str, int],
    manner: dict[str, Any],
) -> Iterator[records.Example]:
    """Examples from crops, with features computed a batch at a time, if any."""
    cut = iter(cut)
    while batch := list(itertools.islice(cut, BATCH_SIZE)):
        features = [{}] * len(batch)
        if representation is not None:
            # Always a whole batch: another shape would compile another program.
            audio = np.zeros((BATCH_SIZE, representation.num_samples), np.int16)
            for row, crop in enumerate(batch):
                audio[row] = crop.audio
            found = features_of(representation, from_int16(audio))
            features = [{"features": of_crop} for of_crop in found]
        for crop, more in zip(batch, features, strict=False):
            counts[labels[crop.label]] += 1
            if "trimmed" in manner:
                manner["trimmed"] += crop.num_after > 0
            yield records.Example(
                id=crop.id,
                audio=crop.audio,
                label=crop.label,
                speaker=crop.speaker,
                **more,
            )


def _usable(corpus: Corpus) -> Corpus:
    """The corpus, whose loads raise `UnreadableAudio` on unusable waves."""
    splits = {
        split: tuple(
            each._replace(load=functools.partial(_load, each))
            for each in corpus.utterances(split)
        )
        for split in SPLITS
    }
    return dataclasses.replace(corpus, splits=splits)


def _load(utterance: Utterance) -> Float32[np.ndarray, "time"]:
    wave = utterance.load()
    if wave.size == 0:
        raise UnreadableAudio(utterance.id, "holds no samples")
    if not np.isfinite(wave).all():
        count = int(np.sum(~np.isfinite(wave)))
        raise UnreadableAudio(utterance.id, f"{count} samples are NaN or infinite")
    return wave


def pick_corpus(
    text: str, corpus_dir: str = "", sample_rate_hz: int = SAMPLE_RATE_HZ
) -> tuple[Corpus, dict[str, Any]]:
    """Corpus that `text` names, and all its options.

    Args:
        text: a choice from `CORPORA` or of an installed package, as for `catalog.pick`.
        corpus_dir: folder of a downloaded corpus.
        sample_rate_hz: of its waves.

    Raises:
        ValueError: an unknown corpus or option, or a folder or a sample rate that the
            corpus cannot use.
        FileNotFoundError: there is no such folder.
    """
    name, options = catalog.parse(text)
    given: dict[str, Any] = {}
    if corpus_dir:
        given["corpus_dir"] = str(user_path(corpus_dir))
    if sample_rate_hz != SAMPLE_RATE_HZ:
        given["sample_rate_hz"] = sample_rate_hz
    defaults: dict[str, Any] = {}
    table = CORPORA if name in CORPORA else CORPORA | installed_corpora.corpora(name)
    if name in table:
        accepted = inspect.signature(table[name]).parameters
        for option in set(given) - set(accepted):
            hint = ", or name its corpus, such as folder" * (option == "corpus_dir")
            raise ValueError(
                f"{name} has no {option}: leave out {given[option]!r}{hint}"
            )
        # Defaults are included: records of another default must not be confused.
        defaults = {
            option.name: option.default
            for option in accepted.values()
            if option.default is not option.empty
        }
    return catalog.pick(text, table, **given), defaults | given | options


def main(argv: Sequence[str], values: flags.FlagValues = flags.FLAGS) -> None:
    """Build the records that the flags describe; print the plan and the result."""
    del argv
    with program.readable_failures("data_prep.build"):
        jax.devices()  # a backend that is missing fails before any work
        _need_packages(values.file_format)
        representation = catalog.pick(values.rep, FRONT_ENDS)
        corpus, options = pick_corpus(
            values.corpus, values.corpus_dir or "", representation.sample_rate_hz
        )
        crops_per_class = {split: values[f"crops_{split}"].value for split in SPLITS}
        policy = {split: values[f"policy_{split}"].value for split in SPLITS}
        with reserve(values.out, wait=False):
            lines = plan(corpus, representation, crops_per_class, policy)
            print(f"{lines}\n  folder: {printable(values.out)}", flush=True)
            info = build(
                corpus,
                representation,
                values.out,
                crops_per_class=crops_per_class,
                policy=policy,
                seed=values.seed,
                on_error=values.on_error,
                file_format=values.file_format,
                options=options,
            )
    made = str(records.place(values.out, info.name, info.representation))
    print(summary(info, made))
    verify = f"{help.command('data_prep.verify')} --records={shlex.quote(made)}"
    print(f"Next, check the records: {printable(verify)}")


def _need_packages(file_format: str) -> None:
    """Check that the packages that write the records are installed."""
    if file_format == "array_record":
        try:
            failures.need("array_record", "importlib_resources", "tensorflow_datasets")
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{error}, or give --file_format=npz") from error


def plan(
    corpus: Corpus,
    representation: Representation,
    crops_per_class: Mapping[str, int],
    policy: Mapping[str, str],
) -> str:
    """Lines on the records that `build` will make with these arguments."""
    shape = " x ".join(map(str, representation.feature_shape))
    seconds = representation.num_samples / representation.sample_rate_hz
    stored = "" if stores_features(representation) else ", not stored"
    lines = [
        f"Build records of {corpus.name}: {len(corpus.labels)} classes, examples of "
        f"{seconds:.3g} s, features {representation.name} {shape}{stored}"
    ]
    for split in SPLITS:
        count = len(corpus.utterances(split))
        crops = f"{crops_per_class[split]} crops a class, {policy[split]}, from {count}"
        kind = f"all {count} clips" if corpus.whole else f"{crops} recordings"
        lines.append(f"  {split}: {kind if count else 'no recordings, not built'}")
    lines += [f"  {line}" for line in corpus.found]
    return "\n".join(lines)


def summary(info: records.Info, folder: records.Path) -> str:
    """Lines on the records that were built, and on everything left out."""
    sizes = ", ".join(f"{size} {split}" for split, size in info.splits.items())
    shape = " x ".join(map(str, info.representation.feature_shape))
    lines = [
        f"{info.name}: {sizes} examples of {len(info.labels)} classes, "
        f"{info.representation.name} {shape}, in {folder}"
    ]
    for split, of_class in info.metadata["counts"].items():
        manner = info.metadata["crops"][split]
        asked = manner.get("per_class", 1)
        # The caveat names the classes without test examples.
        if split == "test":
            not_tested = info.metadata.get("not_tested", ())
            of_class = {k: v for k, v in of_class.items() if k not in not_tested}
        fewer = collections.Counter(of_class).most_common()[::-1]
        short = [f"{name} {count}" for name, count in fewer if count < asked]
        if short:
            few = f"fewer than {asked} different" if asked > 1 else "no"
            more = " ..." if len(short) > 5 else ""
            lines.append(
                f"{split}: {few} examples in {len(short)} classes "
                f"({', '.join(short[:5])}{more})"
            )
        if trimmed := manner.get("trimmed", 0):
            root = info.representation
            seconds = root.num_samples / root.sample_rate_hz
            lines.append(
                f"{split}: {trimmed} clips are longer than the {seconds:.3g} s of an "
                "example; their ends are left out"
            )
    skipped = info.metadata["skipped"]
    if skipped:
        lines.append(f"{len(skipped)} recordings skipped:")
        lines += [
            f"  {printable(path)}: {printable(reason)}"
            for path, reason in skipped[:MOST_TOLD]
        ]
        if len(skipped) > MOST_TOLD:
            lines.append(f"  and {len(skipped) - MOST_TOLD} more, in the metadata")
    lines += info.metadata.get("notes", ())
    if caveat := info.metadata.get("caveat"):
        lines.append(f"caveat: {caveat}")
    return "\n".join(lines)


if __name__ == "__main__":
    define_build_flags(flags.FLAGS)
    program.run(main, interrupted=INTERRUPTED)
