"""The compiled programs of a training."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from advjax.defences import GradFn
from advjax.records import spread
from advjax.runtime.compilation import compiler_options
from advjax.runtime.parallel import replicate, split_batch
from advjax.runtime.precision import check_precision, products_in
from advjax.signal.samples import from_int16
from advjax.training.batches import Dataset, batches_ahead
from advjax.training.checkpoints import TrainState
from advjax.types import Batch, Key, PyTree


class Objective(NamedTuple):
    """The gradients that each step follows.

    Attributes:
        at: the stage of the chain at which the defence works.
        gradients: the defence.
        judge: a defence whose metrics are used in validation; None for `gradients`.
    """

    at: str
    gradients: GradFn
    judge: GradFn | None = None


class Steps:
    """The compiled programs of a training: one step, and one validation batch."""

    def __init__(self, module, representation, objective, recipe, mesh):
        """Define the programs; JAX compiles each at its first call."""
        at, gradients = objective.at, objective.gradients
        judge = objective.judge or gradients
        precision = recipe.precision
        check_precision(precision)
        self.optimizer = recipe.optimizer()
        self.batch_size, self.mesh = recipe.batch_size, mesh
        self.num_validation = recipe.num_validation
        stage = representation.stage(at)
        rest = representation.after(at)

        def to_stage(batch: Batch) -> Batch:
            if jnp.issubdtype(batch.x.dtype, jnp.integer):
                with products_in("float32"):
                    x = map_over_mesh(stage.apply, from_int16(batch.x), mesh)
                return batch._replace(x=x)
            return batch

        def apply(params, batch_stats, x, key, *, train):
            with products_in("float32"):
                for link in rest:
                    x = map_over_mesh(link.step, x, mesh)
            if precision == "bfloat16":
                x = x.astype(jnp.bfloat16)
            variables = {"params": params, "batch_stats": batch_stats}
            with products_in(precision):
                logits, updated = module.apply(
                    variables,
                    x,
                    train=train,
                    mutable=["batch_stats"] if train else [],
                    rngs={"dropout": key},
                )
            # The loss is computed in float32.
            logits = jax.tree.map(lambda each: each.astype(jnp.float32), logits)
            return logits, updated.get("batch_stats", batch_stats)

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
            # The gradients are not used, so the compiler drops their computation.
            found = judge(
                functools.partial(apply, train=False),
                state.params,
                state.batch_stats,
                to_stage(batch),
                key,
            )
            return found.metrics

        options = compiler_options(mesh)
        # Replicated on every device, so that every process can read it.
        whole = {"out_shardings": replicate(mesh), "compiler_options": options}
        self.train = jax.jit(train_step, donate_argnums=0, **whole)
        self.metrics = jax.jit(metrics_step, **whole)

    def begin(self, variables: PyTree) -> TrainState:
        """The state before the first step, for the network's fresh variables."""
        return TrainState(
            step=jnp.zeros((), jnp.int32),
            params=variables["params"],
            batch_stats=variables.get("batch_stats", {}),
            opt_state=self.optimizer.init(variables["params"]),
            rate_scale=jnp.ones(()),
        )

    def validate(self, state, validation: Dataset, key: Key) -> tuple[float, float]:
        """Accuracy and loss over batches of equal size.

        A remainder of fewer rows than there are batches is left out.
        """
        total = self.num_validation or len(validation.y)
        chosen = spread(len(validation.y), total)
        count = -(-total // self.batch_size)
        size = total // count
        rows = (chosen[index * size : (index + 1) * size] for index in range(count))
        with batches_ahead(validation, rows, self.mesh) as ahead:
            found = [
                self.metrics(state, batch, jax.random.fold_in(key, index))
                for index, batch in enumerate(ahead)
            ]
        means = jax.tree.map(lambda *values: float(np.mean(values)), *found)
        return means["accuracy"], means["loss"]


def map_over_mesh(function, x, mesh: Mesh):
    """The function of each example, computed on the device that holds the example."""
    many = jax.vmap(function)
    if mesh.size == 1 or len(x) % mesh.size:
        return many(x)
    # Before JAX 0.12 a Fourier transform gathers the whole batch on every device.
    split = split_batch(mesh).spec
    return jax.shard_map(
        many, mesh=mesh, in_specs=split, out_specs=split, check_vma=False
    )(x)
