"""`fit`: the training loop.

A defence supplies gradients. The loop supplies batches, keys, the optimiser,
validation, early stopping, checkpoints and progress. Batch s of a run and its keys
depend on (seed, s) alone, so a run that is killed and continued ends with the same
weights as one that was not.

A thread reads the next batches while a step runs.

A batch is split over the devices of all processes, or of each process by itself if it
cannot be split equally. Every process calls `fit` with equal arguments and data, and
gets the same weights. One program takes the step of the whole batch, batch statistics
included, so the number of devices changes only rounding.
"""

import io
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from flax import linen as nn

from advjax.classifier import Classifier, initialise
from advjax.representations import Representation
from advjax.runtime.parallel import all_do, data_mesh
from advjax.runtime.progress import Progress
from advjax.training import best_weights
from advjax.training.batches import (
    Dataset,
    batch_rows,
    batches_ahead,
    devices_for,
    replicate_arrays,
    split,
)
from advjax.training.checkpoints import Checkpoints, Log, TrainState
from advjax.training.recipe import Recipe
from advjax.training.steps import Objective, Steps
from advjax.types import Key, PyTree

Observer = Callable[[int, Mapping[str, float]], None]
"""Takes the number of steps done, and metrics by name."""


class TrainingRun(NamedTuple):
    """Checkpoints, order, devices and observer of a training.

    Attributes:
        seed: of the order of examples.
        workdir: the folder of checkpoints; None keeps none, so a killed run starts
            again. With several processes, a folder of the first one; the others do not
            use it.
        settings: one line that identifies this run; a `workdir` whose checkpoint has
            another one is refused.
        devices: those that may share a batch, of all processes; None for all.
        observe: called in the first process: every ten steps, with "train/loss",
            "train/accuracy" and others of the defence, and "train/learning_rate"; and
            at each validation, with "validation/accuracy" and "validation/loss". What
            precedes a checkpoint is observed before it is written.
    """

    seed: int = 0
    workdir: str | pathlib.Path | None = None
    settings: str = ""
    devices: Sequence[jax.Device] | None = None
    observe: Observer | None = None


def fit(
    module: nn.Module,
    representation: Representation,
    train: Dataset,
    validation: Dataset,
    key: Key,
    *,
    labels: tuple[str, ...],
    objective: Objective,
    recipe: Recipe,
    run: TrainingRun | None = None,
) -> Classifier:
    """Train a classifier; return the weights with the best validation accuracy.

    Args:
        module: the network.
        representation: the network's input representation.
        train: training examples: int16 audio, or floats at the stage of the objective.
        validation: examples for model selection, stored in the same form. They are
            validated under the defence, with one fixed draw of its randomness.
        key: root of initial weights, dropout and the defence's randomness.
        labels: the name of each class.
        objective: the defence, and the stage of the chain at which it works.
        recipe: length, learning rate and batches.
        run: its checkpoints, order, devices and observer; None for the defaults of
            `TrainingRun`.

    Raises:
        ValueError: fewer training examples than a batch, a loss that is not finite, or
            a `workdir` with other settings.
        OSError: another process trains in `workdir`, or its disk is full.
    """
    if len(train.y) < recipe.batch_size and not recipe.balanced:
        raise ValueError(
            f"{len(train.y)} training examples are fewer than one batch of "
            f"{recipe.batch_size}: lower batch_size or give more examples"
        )
    recipe = recipe.of_sizes(len(train.y), len(validation.y))
    run = run or TrainingRun()
    observe = None if jax.process_index() else run.observe
    key_init, key_steps, key_validation = jax.random.split(key, 3)
    mesh = data_mesh(devices_for(recipe.batch_size, run.devices))
    steps = Steps(module, representation, objective, recipe, mesh)
    variables = initialise(module, representation, key_init)
    state = steps.begin(variables)
    with Checkpoints(run.workdir) as checkpoints:
        state, best, log = checkpoints.latest(
            state,
            best_weights.begin(jax.device_get(variables), recipe.num_averaged),
            Log(settings=run.settings),
        )
        state = replicate_arrays(state, mesh)
        start = int(state.step)
        if jax.process_count() > 1 and start < recipe.num_steps:
            # Compile the step in every process before one waits for another inside of
            # it, as that wait times out.
            rows = batch_rows(train.y, recipe, run.seed, start)
            arguments = state, split(train, rows, mesh), key_steps
            all_do(
                f"compile the step: {run.settings}",
                lambda: steps.train.lower(*arguments).compile(),
            )
        order = (
            batch_rows(train.y, recipe, run.seed, step)
            for step in range(start, recipe.num_steps)
        )
        with (
            _progress(recipe.num_steps, start) as line,
            batches_ahead(train, order, mesh) as ahead,
        ):
            for step, batch in enumerate(ahead, start):
                if log.gainless >= (recipe.stop_patience or math.inf):
                    break
                state, metrics = steps.train(state, batch, key_steps)
                done = step + 1
                is_shown = done % 10 == 0 or done == recipe.num_steps
                if is_shown:
                    _observe_step(observe, recipe, state, metrics)
                if done % recipe.validate_every == 0 or done == recipe.num_steps:
                    accuracy, loss = steps.validate(state, validation, key_validation)
                    last_loss = float(metrics["loss"])
                    if not math.isfinite(last_loss):
                        raise ValueError(
                            f"the loss is {last_loss} at step {done}: lower the "
                            "learning rate, or look for a broken example"
                        )
                    _observe_validation(observe, done, accuracy, loss)
                    state = _judge(state, log, recipe, accuracy, loss)
                    # On the host, because the next step reuses the state's buffers.
                    best = best_weights.keep(
                        best, _variables(state), log, recipe.num_averaged
                    )
                    checkpoints.save(state, best, log)
                if is_shown:
                    note = (
                        f"loss {float(metrics['loss']):.3f}, accuracy "
                        f"{float(metrics['accuracy']):.2f}"
                        + (f", best validation {log.best:.3f}" if log.best >= 0 else "")
                    )
                    line.advance(done - line.done, note=note)
    return Classifier(
        variables=best_weights.mean(best, log, recipe.num_averaged),
        module=module,
        representation=representation,
        labels=labels,
    )


def _variables(state: TrainState) -> PyTree:
    """The network's variables as Flax has them, without empty collections."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return {name: tree for name, tree in variables.items() if tree}


def _observe_step(observe: Observer | None, recipe: Recipe, state, metrics) -> None:
    """Tell the observer of the step that led to the state."""
    if observe is not None:
        done = int(state.step)
        found = {f"train/{name}": float(value) for name, value in metrics.items()}
        rate = recipe.rate_at(done - 1) * float(state.rate_scale)
        observe(done, {**found, "train/learning_rate": rate})


def _observe_validation(
    observe: Observer | None, step: int, accuracy: float, loss: float
) -> None:
    if observe is not None:
        observe(step, {"validation/accuracy": accuracy, "validation/loss": loss})


def _judge(state, log: Log, recipe: Recipe, accuracy: float, loss: float):
    """The state to continue with; records the validation in `log`."""
    step = int(state.step)
    log.history.append({"step": step, "accuracy": accuracy, "loss": loss})
    # deep-speaker counts gains from 0.001; any gain updates the best weights.
    gained = accuracy > log.best + 1e-3
    log.gainless = 0 if gained else log.gainless + 1
    log.since_cut = 0 if gained else log.since_cut + 1
    # Ties, frequent with a small validation set, go to the smaller loss.
    if (accuracy, -loss) > (log.best, -log.best_loss):
        log.best, log.best_loss, log.best_step = accuracy, loss, step
    if recipe.schedule == "plateau" and log.since_cut >= recipe.plateau_patience:
        log.since_cut = 0
        least = min(1e-4 / recipe.learning_rate, 1.0)
        scale = np.float32(max(float(state.rate_scale) / 2, least))
        state = state.replace(
            rate_scale=replicate_arrays(scale, state.rate_scale.sharding.mesh)
        )
    return state


def _progress(num_steps: int, done: int) -> Progress:
    """The progress line; only the first process shows it."""
    stream = None if jax.process_index() == 0 else io.StringIO()
    return Progress("train", total=num_steps, unit="steps", done=done, stream=stream)
