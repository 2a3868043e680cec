"""Networks for sound events, and the clips that they are trained and attacked on."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from flax import linen as nn

from advjax import catalog
from advjax.classifier import Classifier
from advjax.defences import mixup, plain
from advjax.models import MODELS
from advjax.representations import ConstantQChunks, LogMelChunks, Waveform, definition
from advjax.training import Dataset, Objective
from experiments.lab import cached_rows, clips, folder_names, trainers
from experiments.lab.clips import Clips
from experiments.lab.grid import Job, Step
from experiments.studies.sound_events.jobs import (
    ClipJob,
    pair_classes,
    targeted_jobs,
    untargeted_jobs,
)
from experiments.studies.sound_events.sizes import Size

SAMPLE_RATE_HZ = 32_000
CORPORA = ("fsdkaggle2018", "esc50", "urbansound8k")
MASKING = 0.8  # Jeong and Lim


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


@functools.lru_cache(maxsize=1)
def load_sounds(text: str, corpus_dir: str | None, home: pathlib.Path) -> Clips:
    """The corpus that `text` names, decoded once and then kept in `home`.

    Raises:
        ValueError: none of `CORPORA`, or options or a folder that do not fit.
        FileNotFoundError: no such folder.
    """
    name, _ = catalog.parse(text)
    if name not in CORPORA:
        raise ValueError(
            f"--corpus={name} has no clips of sound events: give one of "
            f"{', '.join(CORPORA)}, and its --corpus_dir"
        )
    return clips.load(text, corpus_dir or "", home, SAMPLE_RATE_HZ)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SoundTask:
    """A network, and the clips that it is trained and attacked on.

    Attributes:
        home: where clips and classifiers are kept.
        corpus: one of `CORPORA`, with options.
        corpus_dir: its folder.
        kind: one of `KINDS`.
        size: of the network, its training, and the attacked clips.
        seed: root of all randomness.
        attacked: the split of the attacked clips.
        pair_classes: labels and targets of targeted attacks; if empty, those of
            `jobs.pair_classes`.
    """

    home: pathlib.Path
    corpus: str
    corpus_dir: str | None
    kind: str
    size: Size
    seed: int
    attacked: str
    pair_classes: tuple[str, ...]

    def resolve(self) -> "SoundSystem":
        """The clips and the classifier, trained if need be.

        Raises:
            ValueError: no clip fits.
        """
        sounds = load_sounds(self.corpus, self.corpus_dir, self.home)
        size = self.size
        longest = size.max_seconds * SAMPLE_RATE_HZ
        # Attacks rely on labels, so that only verified ones count, as published.
        every = [
            clip
            for clip in sounds.splits[self.attacked]
            if clip.verified and len(clip.audio) <= longest
        ]
        if not every:
            raise ValueError(
                f"--max_seconds={size.max_seconds:g}: no clip of {sounds.name} is as "
                "short and has a verified label; give more seconds"
            )
        classes = self.pair_classes or pair_classes(
            sounds.labels, {clip.label for clip in every}, size.num_pair_classes
        )
        return SoundSystem(
            task=self,
            sounds=sounds,
            untargeted=untargeted_jobs(every, size.num_clips, seed=self.seed),
            pair_classes=classes,
            targeted=targeted_jobs(
                every,
                sounds.labels,
                classes,
                size.clips_per_pair,
                shared=size.shared_clips,
                seed=self.seed,
            ),
            classifier=trainers.find_or_train(self._training(sounds)),
        )

    def _training(self, sounds: Clips) -> trainers.Training:
        kind = KINDS[self.kind]
        # As many of the published channels as the share says.
        width = max(2, round(kind.full_width * self.size.width_share))
        settings = {
            "kind": self.kind,
            "front_end": definition(kind.front_end),
            "corpus": sounds.name,
            "ids": [clip.id for clip in sounds.splits["train"]],
            "width": width,
            "recipe": self.size.recipe.settings(),
            "trim": self.size.remove_silence,
            # Earlier versions left the remainder of a clip out of training.
            **({} if self.size.remove_silence else {"chunks": "of padded clips"}),
            "seed": self.seed,
        }
        name, classes = f"{self.kind}-w{width}", len(sounds.labels)
        loss = mixup(masking=kind.masking)
        return trainers.Training(
            folder=folder_names.place(self.home / "classifiers", name, settings),
            settings=settings,
            title=f"{kind.title} on {len(sounds.splits['train'])} clips",
            model=kind.network,
            module=functools.partial(build_network, kind, width, classes),
            dataset=functools.partial(
                sounds.dataset, front_end=kind.front_end, trim=self.size.remove_silence
            ),
            representation=kind.front_end,
            labels=sounds.labels,
            defence="mixup",
            objective=Objective(kind.front_end.name, loss, judge=plain()),
            recipe=self.size.recipe,
            seed=self.seed,
        )


class SoundSystem(NamedTuple):
    """A trained network and the clips that it is attacked on.

    Attributes:
        task: its settings.
        sounds: the corpus.
        untargeted: clips attacked without a target.
        pair_classes: labels and targets of targeted attacks.
        targeted: clips, each with a class to reach.
        classifier: the network.
    """

    task: SoundTask
    sounds: Clips
    untargeted: Sequence[ClipJob]
    pair_classes: tuple[str, ...]
    targeted: Sequence[ClipJob]
    classifier: Classifier

    def clean_jobs(self) -> list[ClipJob]:
        """Every attacked clip once, without a target."""
        every = {job.sound.id: job for job in [*self.untargeted, *self.targeted]}
        return [job._replace(id=id, target=-1) for id, job in every.items()]


class Known(NamedTuple):
    """The network's prediction on a whole clip.

    Attributes:
        split: of the clip.
        id: of the clip.
        recording: that the clip is cut from.
        label: its class.
        predict: the predicted class.
    """

    split: str
    id: str
    recording: str
    label: int
    predict: int


KNOWN_FILE = "clips.tsv"
"""In the folder of `Clean`: a row of `Known` for each clip of the corpus."""


@dataclasses.dataclass(frozen=True)
class Clean(Step):
    """The network and the corpus, as tables describe them."""

    def run(self, job: Job) -> dict[str, Any]:
        """Predict all clips; write the predictions."""
        system = job.resolve()
        classifier, sounds = system.classifier, system.sounds
        rows = []
        for split, each in sounds.splits.items():
            tops = clips.predictions(classifier, each)
            for clip, top in zip(each, tops, strict=True):
                recording = clip.recording or clip.id
                rows.append(Known(split, clip.id, recording, clip.label, int(top)))
        cached_rows.write(job.folder / KNOWN_FILE, rows, classifier.digest())
        return {
            "corpus": sounds.name,
            "labels": list(sounds.labels),
            "num_clips": {split: len(each) for split, each in sounds.splits.items()},
            "attacked": system.task.attacked,
            "num_untargeted": len(system.untargeted),
            "num_targeted": len(system.targeted),
            "pair_classes": system.pair_classes,
            "padding": clips.padding_waste([each.sound for each in system.untargeted]),
            "width": classifier.module.width,
            "num_parameters": classifier.num_parameters(),
        }


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
