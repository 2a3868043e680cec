"""Clips of any length: a corpus in memory, its training examples, and batches.

A clip is padded with zeros to whole chunks. On a CPU clips of as many chunks are one
batch, so that padding costs less than a chunk for each clip, and every length is one
program. Elsewhere lengths share a few programs, see `in_buckets`.
"""

import pathlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import numpy as np
from jaxtyping import Float32, Int, Int16

from advjax.classifier import Classifier
from advjax.evaluation import logits_of_batch
from advjax.padding import stack
from advjax.representations import Waveform
from advjax.representations.chunks import CHUNK_SAMPLES
from advjax.runtime import targets
from advjax.runtime.atomic import new_file
from advjax.runtime.progress import Progress
from advjax.signal.samples import from_int16, to_int16
from advjax.training import Dataset
from data_prep.build import pick_corpus
from data_prep.corpora.base import SPLITS
from data_prep.silence import without_silence
from experiments.lab import folder_names
from experiments.lab.data import find_or_make

_Item = TypeVar("_Item")


class Clip(NamedTuple):
    """One clip of any length.

    Attributes:
        id: unique in its corpus.
        audio: int16.
        label: its class.
        verified: a person has checked the label.
        recording: that the clip is cut from.
    """

    id: str
    audio: Int16[np.ndarray, "time"]
    label: int
    verified: bool
    recording: str = ""


class Clips(NamedTuple):
    """A corpus in memory.

    Attributes:
        name: of the corpus, with its options.
        labels: the name of each class.
        splits: the clips of "train", "validation" and "test".
        sample_rate_hz: of all clips.
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[str, list[Clip]]
    sample_rate_hz: int

    def dataset(self, split: str, front_end: Any, *, trim: bool) -> Dataset:
        """The training examples that the clips of a split are cut into.

        Args:
            split: "train" or "validation".
            front_end: the network's input.
            trim: remove silence first, and leave a short remainder out. Otherwise the
                examples are the chunks of whole clips, padded as clips are for a
                prediction.
        """
        x, y, verified = [], [], []
        for clip in self.splits[split]:
            wave = from_int16(clip.audio)
            if trim:
                wave = without_silence(wave, sample_rate_hz=self.sample_rate_hz)
            parts = list(_examples(front_end, to_int16(wave), whole=not trim))
            x += parts
            y += [clip.label] * len(parts)
            verified += [clip.verified] * len(parts)
        return Dataset(np.stack(x), np.asarray(y), np.asarray(verified))


def load(text: str, corpus_dir: str, home: pathlib.Path, sample_rate_hz: int) -> Clips:
    """The corpus that `text` names, decoded once and then kept in `home`.

    Raises:
        ValueError: an unknown corpus, or options or a folder that do not fit.
        FileNotFoundError: no such folder.
    """
    corpus, options = pick_corpus(text, corpus_dir, sample_rate_hz)
    every = {split: corpus.utterances(split) for split in SPLITS}
    settings = {
        "corpus": corpus.name,
        "options": options,
        "ids": {split: [each.id for each in every[split]] for split in every},
    }
    file = folder_names.place(home / "clips", corpus.name, settings, ".npz")
    utterances = [each for split in every for each in every[split]]
    find_or_make("clips", file, lambda: _decode(file, utterances))
    with np.load(file, allow_pickle=False) as stored:
        ends = np.cumsum(stored["lengths"])
        audio = iter(np.split(stored["audio"], ends[:-1]))
    splits = {
        split: [
            Clip(each.id, next(audio), each.label, each.verified, each.speaker)
            for each in every[split]
        ]
        for split in every
    }
    return Clips(text, corpus.labels, splits, sample_rate_hz)


def _decode(file: pathlib.Path, utterances: Sequence[Any]) -> None:
    waves = []
    with Progress("decode", total=len(utterances), unit="clips") as line:
        for utterance in utterances:
            waves.append(to_int16(utterance.load()))
            line.advance()
    lengths = np.asarray([len(wave) for wave in waves])
    file.parent.mkdir(parents=True, exist_ok=True)
    with new_file(file) as aside, aside.open("wb") as stream:
        np.savez(stream, audio=np.concatenate(waves), lengths=lengths)


def padded_wave(
    audio: Int16[np.ndarray, "time"], multiple: int = CHUNK_SAMPLES
) -> Float32[np.ndarray, "padded"]:
    """The clip as floats, with zeros up to a multiple of so many samples."""
    return np.pad(from_int16(audio), (0, -len(audio) % multiple))


def padded_length(clip: Clip) -> int:
    """Samples of the clip with its padding."""
    return len(clip.audio) + -len(clip.audio) % CHUNK_SAMPLES


def by_length(pairs: Iterable[tuple[Clip, _Item]]) -> dict[int, list[_Item]]:
    """Items of clips by the clips' padded length, the shortest first."""
    found: dict[int, list[_Item]] = {}
    for clip, item in pairs:
        found.setdefault(padded_length(clip), []).append(item)
    return dict(sorted(found.items()))


def compiling_is_slow() -> bool:
    """True where a compilation takes longer than computing on padding."""
    return not targets.on_cpu()


def in_buckets(
    pairs: Iterable[tuple[Clip, _Item]], *, padded: bool | None = None
) -> list[tuple[int | None, list[_Item]]]:
    """Items of clips by program: the length that it pads clips to, and the items.

    With padding a clip has the next of 1, 2, 4, 8, ... chunks. Without it, clips of as
    many chunks are a group, and its length is None. The order of all items is the same.

    Args:
        pairs: the clips and their items.
        padded: False for programs that take no padding; None for what is faster here,
            see `compiling_is_slow`.
    """
    lengths = by_length(pairs)
    if padded is None:
        padded = compiling_is_slow()
    if not padded:
        return [(None, items) for items in lengths.values()]
    found: dict[int, list[_Item]] = {}
    for length, items in lengths.items():
        chunks = 1 << (length // CHUNK_SAMPLES - 1).bit_length()
        found.setdefault(chunks * CHUNK_SAMPLES, []).extend(items)
    return list(found.items())


def padding_waste(clips: Sequence[Clip]) -> float:
    """The share of all padded samples that are padding."""
    filled = sum(len(clip.audio) for clip in clips)
    return 1 - filled / sum(map(padded_length, clips))


def predictions(
    classifier: Classifier, clips: Sequence[Clip]
) -> Int[np.ndarray, "clips"]:
    """The class that a classifier predicts on each whole clip."""
    logits_fn, found = classifier.logits_fn("waveform"), np.zeros(len(clips), int)
    for pad_to, places in in_buckets((clip, i) for i, clip in enumerate(clips)):
        x = stack([padded_wave(clips[i].audio) for i in places], pad_to)
        found[places] = logits_of_batch(logits_fn, x, batch_size=8).argmax(axis=1)
    return found


def _examples(
    front_end: Any, audio: Int16[np.ndarray, "time"], *, whole: bool
) -> Iterator[np.ndarray]:
    """One clip as training examples of a front end; `whole` with all of its padding."""
    if isinstance(front_end, Waveform):
        if whole:
            audio = np.pad(audio, (0, -len(audio) % CHUNK_SAMPLES))
        yield from training_waves(audio)
        return
    # At most seven silent frames more, and few lengths to compile.
    multiple = CHUNK_SAMPLES if whole else front_end.hop * 8
    levels = _levels(front_end, padded_wave(audio, multiple))
    for part in training_chunks(np.asarray(levels)):
        yield part[None, :, :, None]


_levels = jax.jit(lambda front_end, wave: front_end.levels(wave), static_argnums=0)


def training_chunks(
    levels: Float32[np.ndarray, "frames bins"], size: int = 128, least: int = 32
) -> Iterator[Float32[np.ndarray, "{size} bins"]]:
    """A training clip in chunks, by the rule of Iqbal et al. 2018.

    A short clip is padded with its least level. Of frames beyond whole chunks, fewer
    than `least` are trimmed off both ends; from as many on, the last `size` frames are
    one more chunk.
    """
    if len(levels) < size:
        behind = size - len(levels)
        yield np.pad(levels, ((0, behind), (0, 0)), constant_values=levels.min())
        return
    beyond = len(levels) % size
    if beyond >= least:
        yield levels[-size:]
    first = 0 if beyond >= least else beyond // 2
    for start in range(first, len(levels) - size + 1, size):
        yield levels[start : start + size]


def training_waves(
    audio: Int16[np.ndarray, "time"], size: int = CHUNK_SAMPLES
) -> Iterator[Int16[np.ndarray, "{size}"]]:
    """A training clip in segments; the last one overlaps, a short clip is padded."""
    if len(audio) < size:
        yield np.pad(audio, (0, size - len(audio)))
        return
    for start in range(0, len(audio) - size + 1, size):
        yield audio[start : start + size]
    if len(audio) % size:
        yield audio[-size:]
