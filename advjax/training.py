"""`fit`: the only training loop.

A defence supplies gradients; the loop supplies batches, keys, the optimiser,
validation, early stopping, checkpoints and progress. Batch s of a run depends on
(seed, s) alone and so do its keys: a run that is killed and continued ends with the
weights of one that was not.
"""

import dataclasses
import functools
import math
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Int, Num

from advjax.classifier import Classifier, initialise
from advjax.compilation import compiler_options
from advjax.defences import GradFn
from advjax.parallel import data_mesh, replicate, split_batch
from advjax.progress import Progress
from advjax.representations import Representation
from advjax.types import Batch, Key, PyTree


class Dataset(NamedTuple):
    """Examples of one split on the host, at some stage of the chain.

    `x` is either that stage's float array or, for any stage, the stored int16 audio.
    """

    x: Num[np.ndarray, "examples *shape"]
    y: Int[np.ndarray, "examples"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how fast to train.

    Attributes:
        num_steps: optimiser steps, at most.
        batch_size: examples in a step; a remainder of an epoch is dropped.
        learning_rate: Adam's, at its highest.
        schedule: "cosine" (one warm cosine over `num_steps`) or "plateau" (constant,
            and halved when validation accuracy stalls).
        weight_decay: coefficient of the squared l2 norm of convolution kernels in the
            loss; 1e-4 is deep-speaker's.
        validate_every: steps from one validation (and checkpoint) to the next.
        plateau_patience: validations without gain before the rate is halved, to 1e-4 at
            the least.
        stop_patience: validations without a gain of 0.001 before training stops; 0 to
            never stop early.
    """

    num_steps: int = 100_000
    batch_size: int = 96
    learning_rate: float = 1e-3
    schedule: str = "plateau"
    weight_decay: float = 1e-4
    validate_every: int = 60
    plateau_patience: int = 10
    stop_patience: int = 20

    def __post_init__(self):
        """Refuses recipes that cannot train."""
        if self.schedule not in ("cosine", "plateau"):
            raise ValueError(
                f"schedule must be cosine or plateau, not {self.schedule!r}"
            )
        for name in ("num_steps", "batch_size", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(
                    f"{name} must be at least 1, got {getattr(self, name)}"
                )

    def optimizer(self) -> optax.GradientTransformation:
        """Adam on the loss with its l2 term on convolution kernels (not decoupled)."""
        rate: Any = self.learning_rate
        if self.schedule == "cosine":
            rate = optax.warmup_cosine_decay_schedule(
                init_value=rate / 10,
                peak_value=rate,
                warmup_steps=max(1, self.num_steps // 20),
                decay_steps=self.num_steps,
                end_value=rate / 100,
            )
        l2 = optax.add_decayed_weights(2 * self.weight_decay, mask=_is_conv_kernel)
        adam = optax.chain(l2, optax.adam(rate))

        def update(updates, state, params=None):
            # Optax raises floats to integer powers, which strict promotion refuses.
            with jax.numpy_dtype_promotion("standard"):
                return adam.update(updates, state, params)

        return optax.GradientTransformation(adam.init, update)


def _is_conv_kernel(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 4, params)


@struct.dataclass
class TrainState:
    """All that a step needs from the one before."""

    step: PyTree
    params: PyTree
    batch_stats: PyTree
    opt_state: PyTree
    rate_scale: PyTree


@dataclasses.dataclass
class Log:
    """What validation has seen so far; travels in the checkpoint as JSON."""

    settings: str = ""
    best: float = -1.0
    best_loss: float = float("inf")
    best_step: int = 0
    gainless: int = 0
    since_cut: int = 0
    history: list[dict[str, float]] = dataclasses.field(default_factory=list)


def fit(
    module: nn.Module,
    representation: Representation,
    train: Dataset,
    validation: Dataset,
    key: Key,
    *,
    labels: tuple[str, ...],
    at: str,
    gradients: GradFn,
    recipe: Recipe,
    seed: int = 0,
    workdir: str | pathlib.Path | None = None,
    settings: str = "",
) -> Classifier:
    """The trained classifier with the best validation accuracy.

    Args:
        module: the network.
        representation: what the network takes in.
        train: training examples: int16 audio, or floats at the stage `at`.
        validation: examples for model selection, stored alike. Validated under the same
            defence, on one fixed draw of its randomness.
        key: root of initial weights, dropout and the defence's randomness.
        labels: the name of each class.
        at: the stage of the chain at which the defence works.
        gradients: the defence.
        recipe: how long and how fast.
        seed: of the order of examples.
        workdir: where checkpoints go; None keeps none, so a killed run starts again.
        settings: one line that tells this run from others; a `workdir` whose
            checkpoint bears another one is refused.

    Raises:
        ValueError: fewer training examples than a batch, a loss that is not finite, or
            a `workdir` with other settings or an unreadable checkpoint.
    """
    if len(train.y) < recipe.batch_size:
        raise ValueError(
            f"{len(train.y)} training examples are fewer than one batch of "
            f"{recipe.batch_size}: lower --batch_size or build more records"
        )
    key_init, key_steps, key_validation = jax.random.split(key, 3)
    mesh = data_mesh(_devices_for(recipe.batch_size))
    steps = _Steps(module, representation, at, gradients, recipe)
    variables = initialise(module, representation, key_init)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables["batch_stats"],
        opt_state=steps.optimizer.init(variables["params"]),
        rate_scale=jnp.ones(()),
    )
    best, log = jax.device_get(variables), Log(settings=settings)
    keeper = _Keeper(workdir)
    if keeper.has_checkpoint():
        state, best, log = keeper.restore(state, best, settings)
    state = jax.device_put(state, replicate(mesh))
    start = int(state.step)
    with Progress("train", total=recipe.num_steps, unit="steps", done=start) as line:
        for step in range(start, recipe.num_steps):
            if log.gainless >= (recipe.stop_patience or math.inf):
                break
            rows = _batch_rows(len(train.y), recipe.batch_size, seed, step)
            batch = jax.device_put(
                Batch(train.x[rows], train.y[rows]), split_batch(mesh)
            )
            state, metrics = steps.train(state, batch, key_steps)
            done = step + 1
            if done % recipe.validate_every == 0 or done == recipe.num_steps:
                accuracy, loss = steps.validate(state, validation, key_validation)
                if not math.isfinite(float(metrics["loss"])):
                    raise ValueError(
                        f"the loss is {float(metrics['loss'])} at step {done}: lower "
                        "the learning rate, or look for a broken example"
                    )
                state = _judge(state, log, recipe, accuracy, loss)
                if log.best_step == done:
                    # On the host: the next step takes the state's buffers over.
                    weights = {"params": state.params, "batch_stats": state.batch_stats}
                    best = jax.device_get(weights)
                keeper.save(state, best, log)
            if done % 10 == 0 or done == recipe.num_steps:
                note = (
                    f"loss {float(metrics['loss']):.3f}, accuracy "
                    f"{float(metrics['accuracy']):.2f}, best validation {log.best:.3f}"
                )
                line.advance(done - line.done, note=note)
    return Classifier(
        variables=best,
        module=module,
        representation=representation,
        labels=labels,
    )


class _Steps:
    """The two compiled programs of a training: one step, and one validation batch."""

    def __init__(self, module, representation, at, gradients, recipe):
        self.optimizer = recipe.optimizer()
        self.batch_size = recipe.batch_size
        stage = representation.stage(at)
        rest = representation.after(at)

        def to_stage(batch: Batch) -> Batch:
            if jnp.issubdtype(batch.x.dtype, jnp.integer):
                waves = batch.x.astype(jnp.float32) / 32768.0
                return batch._replace(x=jax.vmap(stage.apply)(waves))
            return batch

        def apply(params, batch_stats, x, key, *, train):
            for link in rest:
                x = jax.vmap(link.step)(x)
            variables = {"params": params, "batch_stats": batch_stats}
            if not train:
                return module.apply(variables, x, train=False), batch_stats
            logits, updated = module.apply(
                variables, x, train=True, mutable=["batch_stats"], rngs={"dropout": key}
            )
            return logits, updated["batch_stats"]

        def train_step(state: TrainState, batch: Batch, key: Key):
            found = gradients(
                functools.partial(apply, train=True),
                state.params,
                state.batch_stats,
                to_stage(batch),
                jax.random.fold_in(key, state.step),
            )
            updates, opt_state = self.optimizer.update(
                found.params, state.opt_state, state.params
            )
            updates = jax.tree.map(lambda u: state.rate_scale * u, updates)
            state = TrainState(
                step=state.step + 1,
                params=optax.apply_updates(state.params, updates),
                batch_stats=found.batch_stats,
                opt_state=opt_state,
                rate_scale=state.rate_scale,
            )
            return state, found.metrics

        def metrics_step(state: TrainState, batch: Batch, key: Key):
            # The gradients are not used, so the compiler leaves their computation out.
            found = gradients(
                functools.partial(apply, train=False),
                state.params,
                state.batch_stats,
                to_stage(batch),
                key,
            )
            return found.metrics

        options = compiler_options()
        self.train = jax.jit(train_step, donate_argnums=0, compiler_options=options)
        self.metrics = jax.jit(metrics_step, compiler_options=options)

    def validate(self, state, validation: Dataset, key: Key) -> tuple[float, float]:
        """Accuracy and loss, in equal batches: fewer rows than batches are left out."""
        count = -(-len(validation.y) // self.batch_size)
        size = len(validation.y) // count
        found = []
        for index in range(count):
            rows = slice(index * size, (index + 1) * size)
            batch = Batch(validation.x[rows], validation.y[rows])
            found.append(self.metrics(state, batch, jax.random.fold_in(key, index)))
        means = jax.tree.map(lambda *values: float(np.mean(values)), *found)
        return means["accuracy"], means["loss"]


def _judge(state, log: Log, recipe: Recipe, accuracy: float, loss: float):
    """The state to go on with; writes what was seen into `log`."""
    step = int(state.step)
    log.history.append({"step": step, "accuracy": accuracy, "loss": loss})
    # deep-speaker counts gains from 0.001; the best weights are those of any gain.
    gained = accuracy > log.best + 1e-3
    log.gainless = 0 if gained else log.gainless + 1
    log.since_cut = 0 if gained else log.since_cut + 1
    # Ties go to the smaller loss: a small validation set ties often.
    if (accuracy, -loss) > (log.best, -log.best_loss):
        log.best, log.best_loss, log.best_step = accuracy, loss, step
    if recipe.schedule == "plateau" and log.since_cut >= recipe.plateau_patience:
        log.since_cut = 0
        least = 1e-4 / recipe.learning_rate
        scale = jnp.maximum(state.rate_scale / 2, jnp.minimum(least, 1.0))
        state = state.replace(rate_scale=scale)
    return state


@functools.lru_cache(maxsize=2)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def _batch_rows(num_examples: int, batch_size: int, seed: int, step: int) -> np.ndarray:
    """Rows of batch `step`: whole batches of one shuffled epoch after another."""
    epoch, place = divmod(step, num_examples // batch_size)
    order = _epoch_order(num_examples, seed, epoch)
    return order[place * batch_size : (place + 1) * batch_size]


def _devices_for(batch_size: int) -> list[jax.Device]:
    """As many devices as divide the batch evenly."""
    devices = jax.devices()
    return devices[: max(n for n in range(1, len(devices) + 1) if batch_size % n == 0)]


class _Keeper:
    """Checkpoints of one training: last state, best weights and log, at once.

    The three travel in one Orbax checkpoint, which appears whole or not at all: a kill
    cannot leave a best that belongs to another last.
    """

    def __init__(self, workdir: str | pathlib.Path | None):
        self.manager = None
        if workdir is not None:
            import orbax.checkpoint as ocp

            self.workdir, self.ocp = pathlib.Path(workdir).absolute(), ocp
            self.manager = ocp.CheckpointManager(
                self.workdir,
                options=ocp.CheckpointManagerOptions(max_to_keep=1, create=True),
                item_names=("last", "best", "log"),
            )

    def has_checkpoint(self) -> bool:
        return self.manager is not None and self.manager.latest_step() is not None

    def save(self, state: TrainState, best: PyTree, log: Log) -> None:
        if self.manager is None:
            return
        args = self.ocp.args
        self.manager.save(
            int(state.step),
            args=args.Composite(
                last=args.StandardSave(jax.device_get(state)),
                best=args.StandardSave(best),
                log=args.JsonSave(dataclasses.asdict(log)),
            ),
        )
        self.manager.wait_until_finished()

    def restore(self, state, best, settings: str) -> tuple[TrainState, PyTree, Log]:
        args = self.ocp.args
        try:
            found = self.manager.restore(
                self.manager.latest_step(),
                args=args.Composite(
                    last=args.StandardRestore(jax.device_get(state)),
                    best=args.StandardRestore(best),
                    log=args.JsonRestore(),
                ),
            )
        except Exception as error:  # noqa: BLE001  Orbax and TensorStore raise many kinds
            raise ValueError(
                f"the training checkpoint in {self.workdir} cannot be read "
                f"({str(error)[:200]}): delete that folder to train from the start"
            ) from error
        log = Log(**found["log"])
        if log.settings != settings:
            raise ValueError(
                f"{self.workdir} holds a training with other settings: choose another "
                f"folder, or delete it.\n  there: {log.settings}\n  asked: {settings}"
            )
        return found["last"], found["best"], log
