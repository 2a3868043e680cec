"""From a corpus to a classifier and its test points, each made when missing.

Of several processes the first one makes it, and the others find it: `home` is a folder
that all of them see.

Every folder in `home` bears a short digest of the settings that decide its content, so
equal settings find it again and other settings get another one.
"""

import contextlib
import dataclasses
import functools
import inspect
import json
import pathlib
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from advjax import catalog, checkpoint, evaluation, records, smoothing
from advjax.classifier import Classifier
from advjax.defences import DEFENCES, plain
from advjax.models import MODELS, Guarded, SurfSvm
from advjax.representations import (
    FRONT_ENDS,
    REPRESENTATIONS,
    Representation,
    definition,
)
from advjax.runtime import parallel
from advjax.runtime.locks import reserve
from advjax.runtime.text import did_you_mean
from advjax.signal.samples import from_int16
from advjax.training import Dataset, Objective, Recipe, TrainingRun, fit
from experiments.lab import made_names, noise_laws
from experiments.lab.sizes import CPU, PUBLICATION, Size, size_of, training_devices  # noqa: F401


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A classifier and the data it is trained and evaluated on, as flags say it.

    `records_folder` and `classifier_folder` are folders that must exist; without them,
    records are built and a classifier is trained in `home`.
    """

    home: pathlib.Path
    corpus: str = "voices"
    corpus_dir: str | None = None
    on_error: str = "stop"
    features: str = "mfbe"
    at: str = "mfbe"
    sigma: float = 0.25
    noise_choice: str = "gaussian"
    """A law of `smoothing.NOISES`; options that it leaves out follow from the task."""
    defence: str = "gaussian"
    model: str = CPU.model
    crops: Mapping[str, int] = dataclasses.field(default_factory=lambda: CPU.crops)
    recipe: Recipe = CPU.recipe
    seed: int = 0
    records_folder: str | None = None
    classifier_folder: str | None = None
    trained_at: str | None = None
    """The stage that training was told, where it is not `at`. A plain network serves
    every stage and is trained at its own input, under one name."""
    front_end: Representation | None = None
    """Instead of `features`, for chains that text cannot name."""

    @functools.cached_property
    def representation(self) -> Representation:
        """What the network takes in; a given classifier decides it."""
        if self.classifier_folder is not None:
            return self.classifier.representation
        return self.front_end or catalog.pick(self.features, FRONT_ENDS)

    @functools.cached_property
    def stage(self) -> Representation:
        """The stage of the chain at which noise enters."""
        names = [member.name for member in self.representation.chain()]
        if self.at in names:
            return self.representation.stage(self.at)
        advice = did_you_mean(self.at, names) or " Give one of these"
        if self.at in REPRESENTATIONS and self.classifier_folder is None:
            advice = (
                f" Give one of these, or also --features={self.at}: the network then "
                f"takes in {self.at}"
            )
        raise ValueError(
            f"--rep={self.at} is no stage on the way to {self.representation.name}; "
            f"the stages are {', '.join(names)}.{advice}"
        )

    @functools.cached_property
    def noise(self) -> smoothing.Noise:
        """The smoothing law."""
        return noise_laws.law_of(self)

    @functools.cached_property
    def defence_text(self) -> str:
        """The defence with its sigma, if it takes one, spelled out."""
        name, options = catalog.parse(self.defence)
        catalog.pick(self.defence, DEFENCES, sigma=self.sigma, law=self.noise)
        if name == "noisy":
            return f"noisy(noise={self.noise_choice!r}, sigma={self.sigma!r})"
        if "sigma" not in inspect.signature(DEFENCES[name]).parameters:
            return self.defence
        options = {"sigma": self.sigma} | options
        spelled = ", ".join(f"{option}={value!r}" for option, value in options.items())
        return f"{name}({spelled})"

    @functools.cached_property
    def records(self) -> pathlib.Path:
        """The folder of records, built if need be and checked against the code."""
        if self.records_folder is not None:
            folder = pathlib.Path(self.records_folder)
        else:
            folder = self._build_records()
        records.info(folder, expect=self.representation)
        return folder

    @functools.cached_property
    def listed_corpus(self) -> tuple[Any, dict[str, Any]]:
        """The corpus, listed, and all the options it was made with."""
        from data_prep import build

        return build.pick_corpus(
            self.corpus, self.corpus_dir or "", self.representation.sample_rate_hz
        )

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, known before any records are built."""
        if self.records_folder is not None:
            return tuple(records.info(self.records).labels)
        return tuple(self.listed_corpus[0].labels)

    def _build_records(self) -> pathlib.Path:
        corpus, options = self.listed_corpus
        settings = {
            "corpus": corpus.name,
            "options": options,
            "labels": corpus.labels,
            "utterances": {s: len(corpus.utterances(s)) for s in self.crops},
            "crops": None if corpus.whole else dict(self.crops),
            "representation": definition(self.representation),
            "on_error": self.on_error,
        }
        folder = made_names.place(self.home / "records", corpus.name, settings)
        return parallel.first_does(
            f"records {folder}", lambda: self._built(folder, corpus, options)
        )

    def _built(self, folder: pathlib.Path, corpus, options) -> pathlib.Path:
        if folder.exists():
            return _found_records(folder)
        with reserve(folder, say=say):
            if folder.exists():
                return _found_records(folder)
            self._build(folder, corpus, options)
        return folder

    def _build(self, folder: pathlib.Path, corpus, options) -> None:
        from data_prep import build

        what = f"cutting {self.crops['train']} training crops of each"
        if corpus.whole:
            what = f"{len(corpus.utterances('train'))} whole training clips"
        say(
            f"records     {folder}: {what} of {len(corpus.labels)} classes of "
            f"{self.corpus}"
        )
        # Without locks another start may build it meanwhile; whole, it is as good.
        with contextlib.suppress(FileExistsError):
            info = build.build(
                corpus,
                self.representation,
                folder,
                crops_per_class=self.crops,
                on_error=self.on_error,
                options=options,
            )
            # What was left out, or is fewer than was asked for.
            for line in build.summary(info, folder).splitlines()[1:]:
                say(f"            {line}")

    def dataset(self, split: str, at: str) -> Dataset:
        """One split in memory, as training at the stage `at` wants it."""
        field = "features" if at == self.representation.name else "audio"
        loaded = records.load(
            records.read(self.records, split), fields=(field, "label")
        )
        return Dataset(loaded[field], loaded["label"])

    @functools.cached_property
    def classifier(self) -> Classifier:
        """The classifier, trained if need be."""
        if self.classifier_folder is not None:
            return checkpoint.load(self.classifier_folder)
        return self._trained(*self._training)

    @property
    def classifier_home(self) -> pathlib.Path:
        """The folder of the classifier, there already or still to be trained."""
        if self.classifier_folder is not None:
            return pathlib.Path(self.classifier_folder)
        return self._training[0]

    @property
    def trained_as(self) -> str:
        """The defence of the classifier's training; a given one's folder tells it."""
        if self.classifier_folder is None:
            return self.defence_text
        written = checkpoint.config(self.classifier_folder)
        return written.get("notes", {}).get("defence", "unknown training")

    @functools.cached_property
    def _training(self) -> tuple[pathlib.Path, dict[str, Any]]:
        """Where the trained classifier goes, and the settings that decide it."""
        self.stage  # noqa: B018  a wrong --rep fails before any work
        self.defence_text  # noqa: B018  and so does a wrong --defence
        at = self.trained_at or self.at
        if catalog.parse(self.defence)[0] == "plain":
            at = self.representation.name
        name, options = catalog.parse(self.model)
        labels = records.info(self.records).labels
        module = catalog.pick(self.model, MODELS, num_classes=len(labels))
        settings = {
            "records": records_digest(self.records),
            "at": at,
            "defence": self.defence_text,
            "model": checkpoint.describe_module(module),
            "recipe": dataclasses.asdict(self.recipe),
            "seed": self.seed,
        }
        width = f"-w{options['width']}" if "width" in options else ""
        title = f"{self.records.name}-{self.defence_text}@{at}-{name}{width}"
        return made_names.place(self.home / "classifiers", title, settings), settings

    def _trained(self, folder: pathlib.Path, settings: dict[str, Any]) -> Classifier:
        with contextlib.ExitStack() as held:

            def is_there() -> bool:
                if not folder.exists():
                    held.enter_context(reserve(folder, say=say))
                return folder.exists()

            # The first process alone: it holds the lock for all that train together.
            if not parallel.first_says(f"classifier {folder}", is_there):
                return self._train(folder, settings)
        say(f"classifier  {folder} (found)")
        return checkpoint.load(folder)

    def _train(self, folder: pathlib.Path, settings: dict[str, Any]) -> Classifier:
        at = settings["at"]
        say(
            f"classifier  {folder}: training {self.model}, {self.defence_text} at "
            f"{at}, up to {self.recipe.num_steps} steps of {self.recipe.batch_size}"
        )
        labels = records.info(self.records).labels
        workdir = folder.with_name(folder.name + ".training")
        module = catalog.pick(self.model, MODELS, num_classes=len(labels))
        train_network = functools.partial(
            self._fit, at=at, workdir=workdir, settings=settings
        )
        if isinstance(module, SurfSvm | Guarded):
            from experiments.lab import stage_fitting

            classifier = stage_fitting.fitted(self, module, workdir, train_network)
        else:
            classifier = train_network(module)
        if parallel.process().index == 0:
            # Without locks another start may have trained the same network meanwhile.
            with contextlib.suppress(FileExistsError):
                checkpoint.save(folder, classifier, **settings)
            shutil.rmtree(workdir, ignore_errors=True)
        return classifier

    def _fit(
        self,
        module: nn.Module,
        *,
        at: str,
        workdir: pathlib.Path,
        settings: Mapping[str, Any],
        change: Callable[[Dataset], Dataset] = lambda dataset: dataset,
    ) -> Classifier:
        """The network trained by gradients, on data that `change` has changed."""
        return fit(
            module,
            self.representation,
            change(self.dataset("train", at)),
            change(self.dataset("validation", at)),
            jax.random.key(self.seed),
            labels=tuple(records.info(self.records).labels),
            objective=Objective(
                at=at,
                gradients=catalog.pick(
                    self.defence, DEFENCES, sigma=self.sigma, law=self.noise
                ),
                judge=plain() if catalog.parse(self.defence)[0] == "mixup" else None,
            ),
            recipe=self.recipe,
            run=TrainingRun(
                seed=self.seed,
                workdir=workdir,
                settings=json.dumps(settings, sort_keys=True),
                devices=training_devices(),
            ),
        )

    def num_points(self, asked: int | None, default: int) -> int:
        """The number of test points: as asked, or the default if there are as many."""
        if asked is not None:
            return asked
        return min(default, len(records.read(self.records, "test")))

    def test_points(self, num_points: int | None) -> list[evaluation.Point]:
        """Test records spread evenly over the split, at the stage `at`.

        Raises:
            ValueError: more points than test records, or labels that the classifier
                does not have.
        """
        source = records.read(self.records, "test")
        labels = tuple(records.info(self.records).labels)
        if labels != self.classifier.labels:
            raise ValueError(
                f"the classifier's classes ({_few(self.classifier.labels)}) are not "
                f"those of the records ({_few(labels)}): give records of its corpus"
            )
        count = len(source) if num_points is None else num_points
        if not 1 <= count <= len(source):
            raise ValueError(
                f"num_points={count}: there are {len(source)} test records"
            )
        points = []
        for index in spread(len(source), count):
            example = source[int(index)]
            x = evaluation.stage_features(self.stage, example["audio"])
            norm = float(np.linalg.norm(np.float64(from_int16(example["audio"]))))
            points.append(
                evaluation.Point(int(index), example["id"], x, example["label"], norm)
            )
        return points


def records_digest(folder: pathlib.Path) -> str:
    """Sixteen hexadecimal digits of what the records are, said and recorded.

    Of records that have no digests of their own it is what they say of themselves.
    """
    said = records.info(folder)._asdict()
    recorded = records.recordings(folder)
    whole = said | ({"recordings": recorded} if recorded else {})
    return made_names.digest(whole, 16)


def _found_records(folder: pathlib.Path) -> pathlib.Path:
    """The folder, after a line that says it is there."""
    checked = records.recordings(folder) is not None
    older = "" if checked else "; an older version built them, without digests to check"
    say(f"records     {folder} (found{older})")
    return folder


def spread(total: int, count: int) -> np.ndarray:
    """`count` places from 0 to total - 1, evenly apart."""
    return np.linspace(0, total - 1, count).round().astype(int)


def say(text: str) -> None:
    """Nothing; one line of what is going on, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" * (len(names) > 3))
