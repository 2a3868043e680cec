"""Clips of any length, and networks for sound events that are trained on them."""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Float32, Int16

from advjax import catalog, checkpoint
from advjax.classifier import Classifier
from advjax.defences import mixup, plain
from advjax.evaluation import logits_of_batch
from advjax.metrics.shares import Share
from advjax.models import MODELS
from advjax.representations import ConstantQChunks, LogMelChunks, Waveform, definition
from advjax.representations.chunks import CHUNK_SAMPLES
from advjax.runtime.atomic import new_file
from advjax.runtime.progress import Progress
from advjax.signal.samples import from_int16, to_int16
from advjax.training import Dataset, Objective, Recipe, TrainingRun, fit
from data_prep.build import pick_corpus
from data_prep.silence import without_silence
from experiments.lab import made_names, pipeline

SAMPLE_RATE_HZ = 32_000
CORPORA = ("fsdkaggle2018", "esc50", "urbansound8k")
MASKING = 0.8  # of Jeong and Lim


class Sound(NamedTuple):
    """One clip, as long as it is.

    Attributes:
        id: unique in its corpus.
        audio: int16 at 32 kHz.
        label: its class.
        verified: whether a person has checked that.
    """

    id: str
    audio: Int16[np.ndarray, "time"]
    label: int
    verified: bool


class Sounds(NamedTuple):
    """A corpus in memory.

    Attributes:
        name: of the corpus, with its options.
        labels: the name of each class.
        splits: the clips of "train", "validation" and "test".
    """

    name: str
    labels: tuple[str, ...]
    splits: dict[str, list[Sound]]


def load_sounds(text: str, corpus_dir: str, home: pathlib.Path) -> Sounds:
    """The corpus that `text` names, decoded once and then kept in `home`.

    Raises:
        ValueError: none of `CORPORA`, or options or a folder that do not fit.
        FileNotFoundError: no such folder.
    """
    name, _ = catalog.parse(text)
    if name not in CORPORA:
        raise ValueError(
            f"{name} has no clips of sound events: give --corpus=fsdkaggle2018, esc50 "
            "or urbansound8k, and its --corpus_dir"
        )
    corpus, options = pick_corpus(text, corpus_dir, SAMPLE_RATE_HZ)
    every = {
        split: corpus.utterances(split) for split in ("train", "validation", "test")
    }
    settings = {
        "corpus": corpus.name,
        "options": options,
        "ids": {split: [each.id for each in every[split]] for split in every},
    }
    file = made_names.place(home / "clips", corpus.name, settings, ".npz")
    if not file.exists():
        total = sum(map(len, every.values()))
        with Progress("decode", total=total, unit="clips") as line:
            waves = []
            for utterance in sum(map(list, every.values()), []):
                waves.append(to_int16(utterance.load()))
                line.advance()
        file.parent.mkdir(parents=True, exist_ok=True)
        with new_file(file) as aside, aside.open("wb") as stream:
            np.savez(
                stream,
                audio=np.concatenate(waves),
                lengths=np.asarray([len(wave) for wave in waves]),
            )
    with np.load(file, allow_pickle=False) as stored:
        ends = np.cumsum(stored["lengths"])
        audio = iter(np.split(stored["audio"], ends[:-1]))
    splits = {
        split: [
            Sound(each.id, next(audio), each.label, each.verified)
            for each in every[split]
        ]
        for split in every
    }
    return Sounds(text, corpus.labels, splits)


def padded_wave(
    audio: Int16[np.ndarray, "time"], multiple: int = CHUNK_SAMPLES
) -> Float32[np.ndarray, "padded"]:
    """The clip as floats, with zeros behind up to a multiple of so many samples."""
    return np.pad(from_int16(audio), (0, -len(audio) % multiple))


class Kind(NamedTuple):
    """One row of the study's tables.

    Attributes:
        title: its name there.
        network: its name in `MODELS`.
        front_end: what the network takes in.
        full_width: of the published network.
        masking: as in `mixup`.
    """

    title: str
    network: str
    front_end: Any
    full_width: int
    masking: float | None = None


_LOGMEL, _WAVE = LogMelChunks(), LogMelChunks().source
KINDS = {
    "vgg13": Kind("VGG13", "vgg13", _LOGMEL, 64),
    "crnn": Kind("CRNN", "crnn", _LOGMEL, 64),
    "gcnn": Kind("GCNN", "gcnn", _LOGMEL, 64),
    "dense_mel": Kind("dense-mel", "dense_mel", _WAVE, 16, MASKING),
    "dense_wav": Kind("dense-wav (reconstructed)", "dense_wav", _WAVE, 16, MASKING),
    "constant_q": Kind("VGG13 on constant-Q (ours)", "vgg13", ConstantQChunks(), 64),
}


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
    """A training clip in segments, the last one over its end; a short one is padded."""
    if len(audio) < size:
        yield np.pad(audio, (0, size - len(audio)))
        return
    for start in range(0, len(audio) - size + 1, size):
        yield audio[start : start + size]
    if len(audio) % size:
        yield audio[-size:]


def dataset_of(sounds: Sequence[Sound], front_end: Any, *, trim: bool) -> Dataset:
    """The training examples that clips are cut into.

    Args:
        sounds: the clips.
        front_end: what the network takes in.
        trim: whether silence is removed before.
    """
    x, y, verified = [], [], []
    for sound in sounds:
        wave = from_int16(sound.audio)
        if trim:
            wave = without_silence(wave, sample_rate_hz=SAMPLE_RATE_HZ)
        if isinstance(front_end, Waveform):
            parts = list(training_waves(to_int16(wave)))
        else:
            # At most seven silent frames more, and few lengths to compile.
            levels = _levels(front_end, padded_wave(to_int16(wave), front_end.hop * 8))
            parts = [part[None, :, :, None] for part in training_chunks(levels)]
        x += parts
        y += [sound.label] * len(parts)
        verified += [sound.verified] * len(parts)
    return Dataset(np.stack(x), np.asarray(y), np.asarray(verified))


def _levels(front_end, wave):
    return np.asarray(_jitted_levels(front_end, wave))


_jitted_levels = jax.jit(
    lambda front_end, wave: front_end.levels(wave), static_argnums=0
)


def width_of(kind: Kind, share: float) -> int:
    """Of a network whose layers have `share` of the published ones' channels."""
    return max(2, round(kind.full_width * share))


def trained(
    name: str,
    sounds: Sounds,
    home: pathlib.Path,
    *,
    width_share: float,
    recipe: Recipe,
    trim: bool,
    seed: int,
) -> Classifier:
    """The classifier of one kind, found in `home` or trained and kept there."""
    kind = KINDS[name]
    width = width_of(kind, width_share)
    settings = {
        "kind": name,
        "front_end": definition(kind.front_end),
        "corpus": sounds.name,
        "ids": [sound.id for sound in sounds.splits["train"]],
        "width": width,
        "recipe": dataclasses.asdict(recipe),
        "trim": trim,
        "seed": seed,
    }
    folder = made_names.place(home / "classifiers", f"{name}-w{width}", settings)
    if folder.exists():
        pipeline.say(f"classifier  {folder} (found)")
        return checkpoint.load(folder)
    train, validation = (
        dataset_of(sounds.splits[split], kind.front_end, trim=trim)
        for split in ("train", "validation")
    )
    pipeline.say(
        f"classifier  {folder}: {kind.title} on {len(train.y)} chunks of "
        f"{len(sounds.splits['train'])} clips, {recipe.num_steps} steps"
    )
    workdir = folder.with_name(folder.name + ".training")
    classifier = fit(
        build_network(kind, width, len(sounds.labels), train),
        kind.front_end,
        train,
        validation,
        jax.random.key(seed),
        labels=sounds.labels,
        objective=Objective(
            at=kind.front_end.name,
            gradients=mixup(masking=kind.masking),
            judge=plain(),
        ),
        recipe=recipe,
        run=TrainingRun(
            seed=seed, workdir=workdir, settings=json.dumps(settings, sort_keys=True)
        ),
    )
    checkpoint.save(folder, classifier, **settings)
    shutil.rmtree(workdir, ignore_errors=True)
    return classifier


def build_network(
    kind: Kind, width: int, num_classes: int, train: Dataset
) -> nn.Module:
    """The network, which knows the mean and deviation of its training set's levels."""
    build: Callable[..., nn.Module] = MODELS[kind.network]
    options: dict[str, Any] = {"num_classes": num_classes, "width": width}
    if not isinstance(kind.front_end, Waveform):
        spread = {"mean": train.x.mean(), "deviation": train.x.std()}
        options |= {key: round(float(value), 6) for key, value in spread.items()}
    return build(**options)


def clip_accuracy(classifier: Classifier, sounds: Sequence[Sound]) -> Share:
    """The whole clips that a classifier knows."""
    groups: dict[int, list[Sound]] = {}
    for sound in sounds:
        groups.setdefault(len(padded_wave(sound.audio)), []).append(sound)
    logits_fn, right = classifier.logits_fn("waveform"), 0
    for group in groups.values():
        x = np.stack([padded_wave(sound.audio) for sound in group])
        answers = logits_of_batch(logits_fn, x, batch_size=8).argmax(axis=1)
        right += int((answers == np.asarray([sound.label for sound in group])).sum())
    return Share(right, len(sounds))
