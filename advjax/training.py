"""`fit`: the only training loop.

A defence supplies gradients; the loop supplies batches, keys, the optimiser,
validation, early stopping, checkpoints and progress. Batch s of a run depends on
(seed, s) alone and so do its keys: a run that is killed and continued ends with the
weights of one that was not.

A batch is split over the devices of all processes, or of each by itself when it cannot
be shared equally. Every process calls `fit` with equal arguments and data, and gets the
same weights back. One program takes the step of the whole batch, batch statistics and
all: the number of devices changes rounding alone.
"""

import dataclasses
import functools
import io
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax.sharding import Mesh
from jaxtyping import Bool, Int, Num

from advjax.classifier import Classifier, initialise
from advjax.defences import GradFn
from advjax.optimisers import promoting
from advjax.representations import Representation
from advjax.runtime.compilation import compiler_options
from advjax.runtime.parallel import all_do, data_mesh, replicate, split_batch
from advjax.runtime.progress import Progress
from advjax.training_checkpoints import Checkpoints, Log, TrainState
from advjax.types import Batch, Key, PyTree


class Dataset(NamedTuple):
    """Examples of one split on the host, at some stage of the chain.

    `x` is either that stage's float array or, for any stage, the stored int16 audio.
    """

    x: Num[np.ndarray, "examples *shape"]
    y: Int[np.ndarray, "examples"]
    verified: Bool[np.ndarray, "examples"] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Recipe:
    """How long and how fast to train.

    Attributes:
        num_steps: optimiser steps, at most.
        batch_size: examples in a step; a remainder of an epoch is dropped.
        learning_rate: Adam's, at its highest.
        schedule: "cosine" (one warm cosine over `num_steps`), "plateau" (constant, and
            halved when validation accuracy stalls) or "staircase" (times 0.9 at once
            and after every `decay_every` steps: Iqbal et al. 2018, every two epochs).
        weight_decay: coefficient of the squared l2 norm of convolution kernels in the
            loss; 1e-4 is deep-speaker's.
        validate_every: steps from one validation (and checkpoint) to the next.
        plateau_patience: validations without gain before the rate is halved, to 1e-4 at
            the least.
        stop_patience: validations without a gain of 0.001 before training stops; 0 to
            never stop early.
        decay_every: steps, for the schedule "staircase".
        balanced: draw each example of a batch from a class drawn uniformly, instead of
            whole epochs.
    """

    num_steps: int = 100_000
    batch_size: int = 96
    learning_rate: float = 1e-3
    schedule: str = "plateau"
    weight_decay: float = 1e-4
    validate_every: int = 60
    plateau_patience: int = 10
    stop_patience: int = 20
    decay_every: int = 0
    balanced: bool = False

    def __post_init__(self):
        """Refuses recipes that cannot train."""
        if self.schedule not in ("cosine", "plateau", "staircase"):
            raise ValueError(
                f"schedule must be cosine, plateau or staircase, not {self.schedule!r}"
            )
        counts = ["num_steps", "batch_size", "validate_every"]
        counts += ["decay_every"] * (self.schedule == "staircase")
        for name in counts:
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
        elif self.schedule == "staircase":
            rate = optax.exponential_decay(
                0.9 * rate, self.decay_every, 0.9, staircase=True
            )
        l2 = optax.add_decayed_weights(2 * self.weight_decay, mask=_is_conv_kernel)
        return promoting(optax.chain(l2, optax.adam(rate)))


def _is_conv_kernel(params):
    return jax.tree.map(lambda leaf: leaf.ndim == 4, params)


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
    judge: GradFn | None = None,
    seed: int = 0,
    workdir: str | pathlib.Path | None = None,
    settings: str = "",
    devices: Sequence[jax.Device] | None = None,
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
        judge: instead of the defence, what validates; only its metrics are used.
        seed: of the order of examples.
        workdir: where checkpoints go; None keeps none, so a killed run starts again.
            With several processes, a folder of the first one; no other touches it.
        settings: one line that tells this run from others; a `workdir` whose
            checkpoint bears another one is refused.
        devices: those that may share a batch, of all processes; None for all.

    Raises:
        ValueError: fewer training examples than a batch, a loss that is not finite, or
            a `workdir` with other settings.
        OSError: another process trains in `workdir`, or its disk is full.
    """
    if len(train.y) < recipe.batch_size and not recipe.balanced:
        raise ValueError(
            f"{len(train.y)} training examples are fewer than one batch of "
            f"{recipe.batch_size}: lower --batch_size or build more records"
        )
    key_init, key_steps, key_validation = jax.random.split(key, 3)
    mesh = data_mesh(_devices_for(recipe.batch_size, devices))
    judge = judge or gradients
    steps = _Steps(module, representation, at, gradients, judge, recipe, mesh)
    variables = initialise(module, representation, key_init)
    state = TrainState(
        step=jnp.zeros((), jnp.int32),
        params=variables["params"],
        batch_stats=variables.get("batch_stats", {}),
        opt_state=steps.optimizer.init(variables["params"]),
        rate_scale=jnp.ones(()),
    )
    with Checkpoints(workdir) as checkpoints:
        state, best, log = checkpoints.latest(
            state, jax.device_get(variables), Log(settings=settings)
        )
        state = _everywhere(state, mesh)
        start = int(state.step)
        if jax.process_count() > 1 and start < recipe.num_steps:
            # For the same reason as before a checkpoint: the step is compiled before
            # any process waits for another inside of it.
            rows = _batch_rows(train.y, recipe, seed, start)
            arguments = state, _split(train, rows, mesh), key_steps
            all_do(
                f"compile the step: {settings}",
                lambda: steps.train.lower(*arguments).compile(),
            )
        with _progress(recipe.num_steps, start) as line:
            for step in range(start, recipe.num_steps):
                if log.gainless >= (recipe.stop_patience or math.inf):
                    break
                rows = _batch_rows(train.y, recipe, seed, step)
                batch = _split(train, rows, mesh)
                state, metrics = steps.train(state, batch, key_steps)
                done = step + 1
                if done % recipe.validate_every == 0 or done == recipe.num_steps:
                    accuracy, loss = steps.validate(state, validation, key_validation)
                    last_loss = float(metrics["loss"])
                    if not math.isfinite(last_loss):
                        raise ValueError(
                            f"the loss is {last_loss} at step {done}: lower the "
                            "learning rate, or look for a broken example"
                        )
                    state = _judge(state, log, recipe, accuracy, loss)
                    if log.best_step == done:
                        # On the host: the next step takes the state's buffers over.
                        best = jax.device_get(_variables(state))
                    checkpoints.save(state, best, log)
                if done % 10 == 0 or done == recipe.num_steps:
                    note = (
                        f"loss {float(metrics['loss']):.3f}, accuracy "
                        f"{float(metrics['accuracy']):.2f}, best validation "
                        f"{log.best:.3f}"
                    )
                    line.advance(done - line.done, note=note)
    return Classifier(
        variables=best,
        module=module,
        representation=representation,
        labels=labels,
    )


def _variables(state: TrainState) -> PyTree:
    """The network's, as Flax has them: no statistics where it keeps none."""
    variables = {"params": state.params, "batch_stats": state.batch_stats}
    return {name: tree for name, tree in variables.items() if tree}


class _Steps:
    """The two compiled programs of a training: one step, and one validation batch."""

    def __init__(self, module, representation, at, gradients, judge, recipe, mesh):
        self.optimizer = recipe.optimizer()
        self.batch_size, self.mesh = recipe.batch_size, mesh
        stage = representation.stage(at)
        rest = representation.after(at)

        def to_stage(batch: Batch) -> Batch:
            if jnp.issubdtype(batch.x.dtype, jnp.integer):
                waves = batch.x.astype(jnp.float32) / 32768.0
                return batch._replace(x=_each(stage.apply, waves, mesh))
            return batch

        def apply(params, batch_stats, x, key, *, train):
            for link in rest:
                x = _each(link.step, x, mesh)
            variables = {"params": params, "batch_stats": batch_stats}
            if not train:
                return module.apply(variables, x, train=False), batch_stats
            logits, updated = module.apply(
                variables, x, train=True, mutable=["batch_stats"], rngs={"dropout": key}
            )
            return logits, updated.get("batch_stats", {})

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
            found = judge(
                functools.partial(apply, train=False),
                state.params,
                state.batch_stats,
                to_stage(batch),
                key,
            )
            return found.metrics

        options = compiler_options(mesh)
        # Whole on every device, so that every process can read it.
        whole = {"out_shardings": replicate(mesh), "compiler_options": options}
        self.train = jax.jit(train_step, donate_argnums=0, **whole)
        self.metrics = jax.jit(metrics_step, **whole)

    def validate(self, state, validation: Dataset, key: Key) -> tuple[float, float]:
        """Accuracy and loss, in equal batches: fewer rows than batches are left out."""
        count = -(-len(validation.y) // self.batch_size)
        size = len(validation.y) // count
        found = []
        for index in range(count):
            rows = np.arange(index * size, (index + 1) * size)
            batch = _split(validation, rows, self.mesh)
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
        least = min(1e-4 / recipe.learning_rate, 1.0)
        scale = np.float32(max(float(state.rate_scale) / 2, least))
        state = state.replace(
            rate_scale=_everywhere(scale, state.rate_scale.sharding.mesh)
        )
    return state


@functools.lru_cache(maxsize=2)
def _epoch_order(num_examples: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(num_examples)


def _batch_rows(
    labels: Int[np.ndarray, "examples"], recipe: Recipe, seed: int, step: int
) -> Int[np.ndarray, "batch"]:
    """Rows of batch `step`: whole batches of one shuffled epoch after another.

    Balanced ones are drawn anew for every batch, with replacement.
    """
    if recipe.balanced:
        rng = np.random.default_rng([seed, step, 1])
        order = np.argsort(labels, kind="stable")
        present, first, count = np.unique(
            labels[order], return_index=True, return_counts=True
        )
        drawn = rng.integers(len(present), size=recipe.batch_size)
        place = rng.random(recipe.batch_size) * count[drawn]
        return order[first[drawn] + place.astype(int)]
    epoch, place = divmod(step, len(labels) // recipe.batch_size)
    order = _epoch_order(len(labels), seed, epoch)
    return order[place * recipe.batch_size : (place + 1) * recipe.batch_size]


def _devices_for(batch_size: int, devices: Sequence[jax.Device] | None = None) -> list:
    """As many devices as divide the batch evenly, equally many of each process."""
    owned: dict[int, list[jax.Device]] = {}
    for device in devices or jax.devices():
        owned.setdefault(device.process_index, []).append(device)
    if batch_size % len(owned):
        # Every process takes every step, then, and has the same weights in the end.
        owned = {0: owned[jax.process_index()]}
    most = min(map(len, owned.values()))
    share = max(n for n in range(1, most + 1) if batch_size // len(owned) % n == 0)
    return [device for mine in owned.values() for device in mine[:share]]


def _everywhere(tree: PyTree, mesh: Mesh) -> PyTree:
    """Arrays that are equal in every process, whole on every device of the mesh."""
    return jax.tree.map(
        lambda a: jax.make_array_from_callback(
            a.shape, replicate(mesh), lambda index: a[index]
        ),
        jax.device_get(tree),
    )


def _split(data: Dataset, rows: Int[np.ndarray, "batch"], mesh: Mesh) -> Batch:
    """Those rows, split over the mesh, or whole on each device if they do not divide.

    Each process reads the rows of its own devices alone.
    """
    sharding = replicate(mesh) if len(rows) % mesh.size else split_batch(mesh)

    def placed(a):
        return jax.make_array_from_callback(
            (len(rows), *a.shape[1:]), sharding, lambda index: a[rows[index[0]]]
        )

    return Batch(*(None if part is None else placed(part) for part in data))


def _each(function, x, mesh: Mesh):
    """The function of each example, computed by the device that has the example."""
    many = jax.vmap(function)
    if mesh.size == 1 or len(x) % mesh.size:
        return many(x)
    # Before JAX 0.12 a Fourier transform gathers the whole batch on every device.
    split = split_batch(mesh).spec
    return jax.shard_map(
        many, mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )(x)


def _progress(num_steps: int, done: int) -> Progress:
    """The progress line; processes but the first keep theirs to themselves."""
    stream = None if jax.process_index() == 0 else io.StringIO()
    return Progress("train", total=num_steps, unit="steps", done=done, stream=stream)
