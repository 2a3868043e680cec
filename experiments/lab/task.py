"""A classifier and its data: as flags describe it, before any work, and ready for use.

`Task` is plain data. `Task.draft` finds the parts that need no work. `Task.resolve`
finds or makes the rest: records of the corpus, and a classifier trained on them.

Every folder in `home` bears a short digest of the settings that decide its content, so
equal settings find it again and other settings get another one.
"""

import dataclasses
import pathlib
from collections.abc import Iterable, Iterator, Mapping

from advjax import catalog, checkpoint, evaluation, pretrained
from advjax.classifier import BaseClassifier
from advjax.interop import ForeignClassifier, through_openvino
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS, REPRESENTATIONS, Representation
from advjax.runtime.text import did_you_mean
from advjax.smoothing import Noise
from advjax.training import Objective, Recipe
from advjax.types import LogitsFn
from experiments.lab import (
    classifiers,
    data,
    defences,
    event_files,
    folder_names,
    noises,
    trainers,
)
from experiments.lab.console import say
from experiments.lab.data import Data, Source
from experiments.lab.presets import SMALL, fitted


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A classifier and the data it is trained and evaluated on, as flags describe it.

    Attributes:
        home: where records are built and classifiers trained.
        corpus: a choice from `CORPORA`, with options.
        corpus_dir: the folder of a corpus that was downloaded.
        on_error: "stop" or "skip" at a recording that cannot be read.
        features: the network's input, a choice from `FRONT_ENDS`.
        at: the stage of the chain where noise or a perturbation enters; None for the
            network's own input.
        sigma: standard deviation of the noise.
        noise: a choice from `NOISES`; options that it leaves out follow from the task.
        defence: a choice from `DEFENCES`.
        model: a choice from `MODELS`.
        crops: examples of a class in each split.
        recipe: of the training.
        seed: root of all randomness.
        records_folder: records that exist, instead of a corpus.
        classifier_folder: of a classifier that exists, or the name of a network as in
            `foreign_names`; it decides its own input.
        trained_at: the stage of the training, where it is not `at`.
        fit_batch: a batch is at most the training examples; otherwise too few are
            refused.
        front_end: instead of `features`, for chains that text cannot name.
        precision: of the network when it is evaluated, one of `PRECISIONS`.
        engine: that evaluates the network, "jax" or "openvino".
        weights: a file with the published weights of the model; None for those of an
            installed package.
    """

    home: pathlib.Path
    corpus: str = "voices"
    corpus_dir: str | None = None
    on_error: str = "stop"
    features: str = "mfbe"
    at: str | None = "mfbe"
    sigma: float = 0.25
    noise: str = "gaussian"
    defence: str = "gaussian"
    model: str = SMALL.model
    crops: Mapping[str, int] = dataclasses.field(default_factory=lambda: SMALL.crops)
    recipe: Recipe = SMALL.recipe
    seed: int = 0
    records_folder: str | None = None
    classifier_folder: str | None = None
    trained_at: str | None = None
    fit_batch: bool = True
    front_end: Representation | None = None
    precision: str = "float32"
    engine: str = "jax"
    weights: str | None = None

    def draft(self) -> "Draft":
        """The parts that are known without any work.

        Raises:
            ValueError: a choice that does not exist or does not fit the others.
            OSError: a folder that is missing or cannot be read.
        """
        given = None
        if self.classifier_folder is not None:
            given = classifiers.load(self.classifier_folder)
            representation = given.representation
        else:
            representation = self.front_end or catalog.pick(self.features, FRONT_ENDS)
        if self.at is None:
            own = dataclasses.replace(self, at=representation.name)
            return own._draft(given, representation)
        return self._draft(given, representation)

    def _draft(
        self, given: BaseClassifier | None, representation: Representation
    ) -> "Draft":
        stage = self._stage(representation)
        self._check_features(representation)
        noise = noises.noise_of(self.noise, sigma=self.sigma, stage=stage)
        # A wrong defence fails before any work.
        defences.gradients(self.defence, sigma=self.sigma, noise=noise)
        if self.records_folder is not None:
            source = data.source_of_records(self.records_folder, representation)
        else:
            source = data.source_of_corpus(
                self.corpus,
                self.corpus_dir,
                representation,
                home=self.home,
                crops=self.crops,
                on_error=self.on_error,
            )
        if isinstance(given, ForeignClassifier):
            given = classifiers.with_labels(given, source.labels)
        return Draft(
            task=self,
            representation=representation,
            stage=stage,
            noise=noise,
            source=source,
            given=given,
            weights=self._published_weights(),
        )

    def resolve(self) -> "System":
        """The classifier and its data, built and trained if need be."""
        return self.draft().resolve()

    def at_waveform(self) -> "Task":
        """The task of the same classifier with waveforms for test points."""
        root = self.draft().representation.chain()[0].name
        return dataclasses.replace(self, at=root, trained_at=self.trained_at or self.at)

    def _published_weights(self) -> pretrained.Weights | None:
        name, _ = catalog.parse(self.model)
        if self.classifier_folder is None and name in pretrained.PRETRAINED:
            known = trainers.trainer_of(self.model).defences
            if catalog.parse(self.defence)[0] not in known:
                raise ValueError(
                    f"--defence={self.defence}: {name} has published weights; give "
                    f"--defence={' or '.join(known)}"
                )
            return pretrained.find(name, self.weights)
        if self.weights is not None:
            raise ValueError(
                "--weights is for a --model of "
                f"{' or '.join(pretrained.PRETRAINED)}: leave it out"
            )
        return None

    def _stage(self, representation: Representation) -> Representation:
        names = [member.name for member in representation.chain()]
        if self.at in names:
            return representation.stage(self.at)
        advice = did_you_mean(self.at, names) or " Give one of these"
        if self.at in REPRESENTATIONS and self.classifier_folder is None:
            advice = (
                f" Give one of these, or also --features={self.at}: the network then "
                f"takes in {self.at}"
            )
        raise ValueError(
            f"--rep={self.at} is no stage on the way to {representation.name}; "
            f"the stages are {', '.join(names)}.{advice}"
        )

    def _check_features(self, representation: Representation) -> None:
        try:
            _ = representation.feature_shape
        except Exception as error:  # noqa: BLE001  NumPy and JAX raise many kinds
            reason = str(error).split("\n")[0][:200]
            raise ValueError(
                f"--features={self.features} cannot be computed ({reason}): choose "
                "other options"
            ) from error


@dataclasses.dataclass(frozen=True, kw_only=True)
class Draft:
    """The parts of a task that are known before anything is built or trained.

    Attributes:
        task: as the flags describe it.
        representation: the network's input.
        stage: where noise or a perturbation enters.
        noise: the noise distribution. One that follows the training clips has another
            curve here: its norm and its largest radius are the same.
        source: of the clips.
        given: a classifier that exists already.
        weights: published ones of the model, if it has any.
        log: "tensorboard" to write the metrics of a training to the home.
    """

    task: Task
    representation: Representation
    stage: Representation
    noise: Noise
    source: Source
    given: BaseClassifier | None
    weights: pretrained.Weights | None = None
    log: str | None = None

    @property
    def defence(self) -> str:
        """The defence of a training, spelled with its standard deviation."""
        task = self.task
        return defences.full_text(task.defence, sigma=task.sigma, noise=task.noise)

    @property
    def trained_at(self) -> str:
        """The stage of the training.

        A plain network serves every stage: it is trained at its own input, under one
        name.
        """
        task = self.task
        if defences.facts(self.defence).at_input:
            return self.representation.name
        return task.trained_at or task.at

    @property
    def network(self) -> str:
        """The network, its defence and the stage of its training, in words."""
        origin = ""
        if self.weights is not None:
            origin = f", weights of {self.weights.source}"
        if self.given is None:
            return f"{self.task.model}{origin}, {self.defence} at {self.trained_at}"
        notes = classifiers.notes(self.task.classifier_folder)
        at = f" at {notes['at']}" if "at" in notes else ""
        trained = f"{notes.get('defence', classifiers.UNKNOWN)}{at}"
        return f"{classifiers.network_name(self.given)}, {trained}"

    def training(self, records: Data, noise: Noise) -> trainers.Training:
        """The training of the classifier on the records, under the noise."""
        task, defence, at = self.task, self.defence, self.trained_at
        name, options = catalog.parse(task.model)
        module = catalog.pick(task.model, MODELS, num_classes=len(records.labels))
        recipe, sizes = task.recipe, records.info.splits
        if task.fit_batch:
            recipe = fitted(recipe, sizes.get("train", 0))
        recipe = recipe.of_sizes(sizes.get("train", 0), sizes.get("validation", 0))
        origin = {"recipe": recipe.settings()}
        if self.weights is not None:
            file, digest = self.weights.source, self.weights.digest
            origin = {"weights": {"file": file, "sha256": digest}}
        settings = {
            "records": records.digest(),
            "at": at,
            "defence": defence,
            "model": checkpoint.describe_module(module),
            **origin,
            "seed": task.seed,
        }
        width = f"-w{options['width']}" if "width" in options else ""
        title = f"{records.folder.name}-{defence}@{at}-{name}{width}"
        gradients = defences.gradients(task.defence, sigma=task.sigma, noise=noise)
        folder = folder_names.place(task.home / "classifiers", title, settings)
        return trainers.Training(
            folder=folder,
            settings=settings,
            title=self.network,
            model=task.model,
            module=lambda _: module,
            dataset=lambda split: records.dataset(split, at),
            representation=self.representation,
            labels=records.labels,
            defence=defence,
            objective=Objective(at, gradients, judge=defences.facts(defence).judge),
            recipe=recipe,
            seed=task.seed,
            weights=self.weights,
            events=self.log and task.home / event_files.FOLDER / folder.name,
        )

    def resolve(self) -> "System":
        """The classifier and its data, built and trained if need be."""
        task, records = self.task, self.source.resolve()
        noise = noises.noise_of(
            task.noise, sigma=task.sigma, stage=self.stage, records=records
        )
        if self.given is not None:
            folder = pathlib.Path(task.classifier_folder)
            classifier, found = self.given, True
            defence = classifiers.notes(folder).get("defence", classifiers.UNKNOWN)
            say(f"classifier  {folder} (found): {self.network}")
            for remark in getattr(classifier, "remarks", ()):
                say(f"            {remark}")
        else:
            training = self.training(records, noise)
            folder, defence = training.folder, self.defence
            found = folder.exists()
            classifier = trainers.find_or_train(training)
        return System(
            task=task,
            data=records,
            representation=self.representation,
            stage=self.stage,
            noise=noise,
            defence=defence,
            classifier=classifier,
            folder=folder,
            found=found,
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class System:
    """A trained classifier, the noise it may be smoothed with, and its data.

    Attributes:
        task: as the flags describe it.
        data: the records.
        representation: the network's input.
        stage: where noise or a perturbation enters.
        noise: the noise distribution.
        defence: the classifier's training, as its folder names it.
        classifier: the network with its front end.
        folder: of the classifier, or the name of its network as a path.
        found: the classifier was there already.
    """

    task: Task
    data: Data
    representation: Representation
    stage: Representation
    noise: Noise
    defence: str
    classifier: BaseClassifier
    folder: pathlib.Path
    found: bool

    @property
    def weights(self) -> Mapping[str, str] | None:
        """File and digest of published weights; None of other classifiers."""
        return classifiers.notes(self.folder).get("weights")

    def logits_fn(self, at: str | None = None) -> LogitsFn:
        """The classifier after a stage, by default that of the task."""
        at, precision = at or self.stage.name, self.task.precision
        if self.task.engine == "openvino":
            evaluated = through_openvino(self.classifier, precision=precision)
            return evaluated.logits_fn(at)
        return self.classifier.logits_fn(at, precision=precision)

    def test_points(self, num_points: int | None) -> list[evaluation.Point]:
        """Test records spread evenly over the split, at the stage of the task.

        Raises:
            ValueError: more points than test records, or labels that the classifier
                does not have.
        """
        classifiers.with_labels(self.classifier, self.data.labels)
        return self.data.test_points(self.stage, num_points)

    def each_test_point(
        self, places: Iterable[int] | None = None
    ) -> Iterator[evaluation.Point]:
        """Test records at these places, or all; each is made when it is asked for.

        Raises:
            ValueError: labels that the classifier does not have.
        """
        classifiers.with_labels(self.classifier, self.data.labels)
        if places is None:
            places = range(len(self.data.test))
        return self.data.points(self.stage, places)
