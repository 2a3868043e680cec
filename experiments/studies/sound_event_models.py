"""The networks for sound events, and how each is trained on clips of any length."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from flax import linen as nn

from advjax import catalog
from advjax.defences import mixup, plain
from advjax.models import MODELS
from advjax.representations import ConstantQChunks, LogMelChunks, Waveform, definition
from advjax.training import Dataset, Objective, Recipe
from experiments.lab import clips, folder_names, trainers
from experiments.lab.clips import Clips

SAMPLE_RATE_HZ = 32_000
CORPORA = ("fsdkaggle2018", "esc50", "urbansound8k")
MASKING = 0.8  # of Jeong and Lim


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


def load_sounds(text: str, corpus_dir: str, home: pathlib.Path) -> Clips:
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
    return clips.load(text, corpus_dir, home, SAMPLE_RATE_HZ)


def width_of(kind: Kind, share: float) -> int:
    """The width of a network whose layers have `share` of the published channels."""
    return max(2, round(kind.full_width * share))


def training_of(
    name: str,
    sounds: Clips,
    home: pathlib.Path,
    *,
    width_share: float,
    recipe: Recipe,
    trim: bool,
    seed: int,
) -> trainers.Training:
    """How the classifier of one kind is trained, and its folder in `home`."""
    kind = KINDS[name]
    width = width_of(kind, width_share)
    settings = {
        "kind": name,
        "front_end": definition(kind.front_end),
        "corpus": sounds.name,
        "ids": [clip.id for clip in sounds.splits["train"]],
        "width": width,
        "recipe": dataclasses.asdict(recipe),
        "trim": trim,
        "seed": seed,
    }
    return trainers.Training(
        folder=folder_names.place(home / "classifiers", f"{name}-w{width}", settings),
        settings=settings,
        title=f"{kind.title} on {len(sounds.splits['train'])} clips",
        model=kind.network,
        module=functools.partial(build_network, kind, width, len(sounds.labels)),
        dataset=functools.partial(sounds.dataset, front_end=kind.front_end, trim=trim),
        representation=kind.front_end,
        labels=sounds.labels,
        defence="mixup",
        objective=Objective(
            kind.front_end.name, mixup(masking=kind.masking), judge=plain()
        ),
        recipe=recipe,
        seed=seed,
    )


def build_network(
    kind: Kind, width: int, num_classes: int, train: Dataset
) -> nn.Module:
    """The network, with the mean and standard deviation of its training levels."""
    build: Callable[..., nn.Module] = MODELS[kind.network]
    options: dict[str, Any] = {"num_classes": num_classes, "width": width}
    if not isinstance(kind.front_end, Waveform):
        spread = {"mean": train.x.mean(), "deviation": train.x.std()}
        options |= {key: round(float(value), 6) for key, value in spread.items()}
    return build(**options)
