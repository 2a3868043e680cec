"""Training of classifiers: a table of trainers, and a folder for each classifier.

A network is trained by gradients; the classical pipeline is fitted stage by stage, and
a guarded network is trained behind its first stages. Networks in `PRETRAINED` have
published weights: speakers are enrolled, and a detector is taken as it is.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Float

from advjax import catalog, checkpoint, evaluation, pretrained
from advjax.classifier import Classifier
from advjax.models.guarded import network_behind
from advjax.representations import Representation
from advjax.runtime import parallel
from advjax.runtime.locks import reserve
from advjax.signal.samples import from_int16
from advjax.surf_svm import fitting
from advjax.training import Dataset, Objective, Recipe, TrainingRun, fit
from experiments.lab import event_files
from experiments.lab.console import say


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training:
    """One classifier to train: its data, its network, and its folder.

    Attributes:
        folder: of the classifier, there already or still to be trained.
        settings: everything that decides the classifier, as JSON; kept beside it.
        title: of the work, for people.
        model: a choice from `MODELS`; its name picks the trainer.
        module: the untrained network, for given training examples.
        dataset: gives the examples of a split.
        representation: the network's input.
        labels: the names of the classes.
        defence: a choice from `DEFENCES`, with its standard deviation.
        objective: the defence's gradients, and their stage.
        recipe: steps, batches and rates.
        seed: of the weights, the batches and the noise.
        weights: published ones, for the models in `PRETRAINED`.
        events: folder for event files of TensorBoard; None writes none.
    """

    folder: pathlib.Path
    settings: Mapping[str, Any]
    title: str
    model: str
    module: Callable[[Dataset], nn.Module]
    dataset: Callable[[str], Dataset]
    representation: Representation
    labels: tuple[str, ...]
    defence: str
    objective: Objective
    recipe: Recipe
    seed: int
    weights: pretrained.Weights | None = None
    events: pathlib.Path | None = None


def find_or_train(training: Training) -> Classifier:
    """The classifier in the training's folder, trained and kept there if need be."""
    folder = training.folder
    with contextlib.ExitStack() as held:

        def is_there() -> bool:
            if not folder.exists():
                held.enter_context(reserve(folder, say=say))
            return folder.exists()

        # The first process alone: it holds the lock for all that train together.
        if not parallel.first_says(f"classifier {folder}", is_there):
            return _train(training)
    say(f"classifier  {folder} (found): {training.title}")
    return checkpoint.load(folder)


def _train(training: Training) -> Classifier:
    folder, recipe = training.folder, training.recipe
    steps = f", up to {recipe.num_steps} steps of {recipe.batch_size}"
    say(
        f"classifier  {folder}: {'training' if training.weights is None else 'making'} "
        f"{training.title}{steps * (training.weights is None)}"
    )
    if training.events is not None:
        say(f"            tensorboard --logdir={training.events.parent} shows it")
    workdir = folder.with_name(folder.name + ".training")
    trainer = trainer_of(training.model)
    train = training.dataset("train") if trainer.learns else _NO_CLIPS
    module = training.module(train)
    classifier = trainer.train(training, module, train, workdir)
    if parallel.process().index == 0:
        # Without locks another start may have trained the same network meanwhile.
        with contextlib.suppress(FileExistsError):
            checkpoint.save(folder, classifier, **training.settings)
        shutil.rmtree(workdir, ignore_errors=True)
    return classifier


_NO_CLIPS = Dataset(np.zeros(0, np.float32), np.zeros(0, np.int32))


def train_network(
    training: Training,
    module: nn.Module,
    train: Dataset,
    workdir: pathlib.Path,
    *,
    change: Callable[[Dataset], Dataset] = lambda dataset: dataset,
) -> Classifier:
    """The network trained by gradients, on examples that `change` has changed."""
    train, validation = change(train), change(training.dataset("validation"))
    with event_files.observer(training.events) as observe:
        return fit(
            module,
            training.representation,
            train,
            validation,
            jax.random.key(training.seed),
            labels=training.labels,
            objective=training.objective,
            recipe=training.recipe,
            run=TrainingRun(
                seed=training.seed,
                workdir=workdir,
                settings=json.dumps(training.settings, sort_keys=True),
                devices=training_devices(),
                observe=observe,
            ),
        )


def fit_pipeline(
    training: Training, module: nn.Module, train: Dataset, workdir: pathlib.Path
) -> Classifier:
    """The classical pipeline, fitted stage by stage.

    Raises:
        ValueError: a defence that no stage is fitted with.
    """
    recipe = _stage_recipe(training)
    return fitting.fit(
        module, training.representation, images_of(training.representation, train),
        train.y,
        labels=training.labels, recipe=recipe, seed=training.seed, workdir=workdir,
    )  # fmt: skip


def train_guarded(
    training: Training, module: nn.Module, train: Dataset, workdir: pathlib.Path
) -> Classifier:
    """A network behind the classical pipeline's differentiable stages.

    Raises:
        ValueError: a defence that no stage is fitted with.
    """
    recipe = _stage_recipe(training)
    train = train._replace(x=images_of(training.representation, train))
    stages = fitting.Stages(
        workdir / "stages", module, training.representation, recipe, train.x, train.y,
        training.seed,
    )  # fmt: skip
    params = fitting.fit_front(module, train.x[..., 0], recipe, training.seed, stages)

    def pure(dataset: Dataset) -> Dataset:
        images = images_of(training.representation, dataset)[..., 0]
        return dataset._replace(x=fitting.purify(module, params, images)[..., None])

    behind = network_behind(module.network, module.num_classes)
    network = train_network(training, behind, train, workdir, change=pure)
    variables = {kind: {"classifier": v} for kind, v in network.variables.items()}
    variables["params"] |= params
    return network.replace(variables=variables, module=module)


def images_of(
    stage: Representation, dataset: Dataset
) -> Float[np.ndarray, "examples height width 1"]:
    """The images of a dataset in memory, made of its audio where none are stored."""
    x = dataset.x
    if x.dtype != np.int16:
        return np.asarray(x)
    images = np.empty((len(dataset.y), *stage.feature_shape), np.float32)
    for row in range(len(images)):
        images[row] = evaluation.stage_features(stage, x[np.asarray([row])][0])
    return images


def enrol(
    training: Training, module: nn.Module, train: Dataset, workdir: pathlib.Path
) -> Classifier:
    """A speaker encoder whose classes are the means of the training clips.

    The defence gaussian enrols from noisy copies of the clips.
    """
    del workdir
    _, options = catalog.parse(training.defence)
    x = np.asarray(train.x)
    x = from_int16(x) if x.dtype == np.int16 else x
    noise = pretrained.EnrolmentNoise(
        training.objective.at, float(options.get("sigma", 0.0)), training.seed
    )
    return pretrained.enrol(
        module, training.weights, training.representation, x, train.y,
        labels=training.labels, noise=noise,
    )  # fmt: skip


DETECTED = ("no_speech", "speech")
"""Labels of a corpus for a detector of speech, in this order."""


def take_detector(
    training: Training, module: nn.Module, train: Dataset, workdir: pathlib.Path
) -> Classifier:
    """A detector of speech, for a corpus of two classes and clips of 16 kHz.

    Raises:
        ValueError: other classes, or another sample rate.
    """
    del train, workdir
    rate = training.representation.sample_rate_hz
    if training.labels != DETECTED or rate != 16_000:
        raise ValueError(
            f"--model={training.model} detects speech at 16,000 Hz: give a corpus of "
            f"{' and '.join(DETECTED)}, not of {', '.join(training.labels[:3])} at "
            f"{rate:,} Hz"
        )
    return pretrained.load(
        module, training.weights, training.representation, training.labels
    )


def _stage_recipe(training: Training) -> fitting.SvmRecipe:
    """The recipe of the stages, whose only defence is noise at their input."""
    name, options = catalog.parse(training.defence)
    at, own = training.objective.at, training.representation.name
    if at != own or name not in ("plain", "gaussian"):
        raise ValueError(
            f"--defence={training.defence} at {at}: "
            f"{catalog.parse(training.model)[0]} is fitted stage by stage on images; "
            f"give --defence=plain, or gaussian with --rep={own}"
        )
    return fitting.SvmRecipe(
        num_steps=training.recipe.num_steps,
        batch_size=training.recipe.batch_size,
        noise=float(options.get("sigma", 0.0)),
    )


class Trainer(NamedTuple):
    """The trainer of a kind of classifier.

    Attributes:
        train: makes the classifier of a training, an untrained module and training
            examples, with checkpoints in a folder.
        learns: it needs clips of the training split.
        validates: clips of the validation split choose its best step.
        packages: imports beside the packages that everything needs.
        flags: values of flags that are not given, by name.
        crops: examples of a class by split, where they differ from a preset's.
        defences: the only ones that it knows; empty for those of gradients.
    """

    train: Callable[[Training, nn.Module, Dataset, pathlib.Path], Classifier]
    learns: bool = True
    validates: bool = True
    packages: tuple[str, ...] = ()
    flags: Mapping[str, str] = {}
    crops: Mapping[str, int] = {}
    defences: tuple[str, ...] = ()


NETWORK = Trainer(train_network)
TRAINERS: Mapping[str, Trainer] = {
    "surf_svm": Trainer(fit_pipeline, validates=False, packages=("sklearn",)),
    "guarded": Trainer(train_guarded, packages=("sklearn",)),
    "ge2e": Trainer(
        enrol,
        validates=False,
        flags={"features": "ge2e", "rep": "waveform"},
        crops={"train": 30},
        defences=("plain", "gaussian"),
    ),
    "silero_vad": Trainer(
        take_detector,
        learns=False,
        validates=False,
        flags={
            "features": "waveform(num_samples=48000)",
            "rep": "waveform",
            "defence": "plain",
        },
        crops={"train": 1},
        defences=("plain",),
    ),
}
"""By a name in `MODELS`; the other models are networks."""


def trainer_of(model: str) -> Trainer:
    """The trainer of a choice from `MODELS`."""
    return TRAINERS.get(catalog.parse(model)[0], NETWORK)


def training_devices() -> list[jax.Device]:
    """All devices; on a CPU one of each process, which has all of its cores.

    There the step is no loop, so XLA spreads all of it over the cores by itself.
    """
    devices = jax.devices()
    if devices[0].platform != "cpu":
        return devices
    first = {device.process_index: device for device in reversed(devices)}
    return [first[index] for index in sorted(first)]
