"""Fitting the classical pipeline, and networks behind its differentiable stages."""

import pathlib
from collections.abc import Callable

from advjax import catalog, records
from advjax.classifier import Classifier
from advjax.models import Guarded, SurfSvm
from advjax.models.guarded import network_behind
from advjax.surf_svm.fitting import Stages, SvmRecipe, fit, fit_front, purified
from advjax.training import Dataset
from experiments.lab import pipeline


def fitted(
    task: pipeline.Task,
    module: SurfSvm | Guarded,
    workdir: pathlib.Path,
    train_network: Callable[..., Classifier],
) -> Classifier:
    """The task's classifier.

    Args:
        task: whose.
        module: with its options.
        workdir: where finished stages are kept.
        train_network: trains a network on the task's data, changed.

    Raises:
        ValueError: a defence that no stage is fitted with.
    """
    recipe = SvmRecipe(
        num_steps=task.recipe.num_steps,
        batch_size=task.recipe.batch_size,
        noise=_noise(task),
    )
    train = task.dataset("train", task.representation.name)
    labels = tuple(records.info(task.records).labels)
    if isinstance(module, SurfSvm):
        return fit(
            module, task.representation, train.x, train.y, labels=labels,
            recipe=recipe, seed=task.seed, workdir=workdir,
        )  # fmt: skip
    stages = Stages(
        workdir / "stages", module, task.representation, recipe, train.x, train.y,
        task.seed,
    )  # fmt: skip
    params = fit_front(module, train.x[..., 0], recipe, task.seed, stages)

    def change(dataset: Dataset) -> Dataset:
        images = purified(module, params, dataset.x[..., 0])
        return dataset._replace(x=images[..., None])

    behind = network_behind(module.network, module.num_classes)
    network = train_network(behind, change=change)
    variables = {kind: {"classifier": v} for kind, v in network.variables.items()}
    variables["params"] |= params
    return network.replace(variables=variables, module=module)


def _noise(task: pipeline.Task) -> float:
    name, options = catalog.parse(task.defence_text)
    if name == "plain":
        return 0.0
    if name == "gaussian" and task.at == task.representation.name:
        return float(options["sigma"])
    raise ValueError(
        f"--defence={task.defence_text} at {task.at}: {catalog.parse(task.model)[0]} "
        "is fitted stage by stage on images; give --defence=plain, or gaussian with "
        f"--rep={task.representation.name}"
    )
