"""The contract of a training defence."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import optax
from jaxtyping import Array, Float

from advjax.types import Batch, Key, PyTree

Apply = Callable[
    [PyTree, PyTree, Float[Array, "batch *features"], Key],
    tuple[
        Float[Array, "batch classes"] | tuple[Float[Array, "batch classes"], ...],
        PyTree,
    ],
]
"""(params, batch_stats, batch at the defence's stage, key) -> (logits, batch_stats).

The rest of the chain after that stage, then the network in training mode, which may
give the logits of auxiliary heads behind its own.
"""

AUXILIARY_WEIGHT = 0.3
"""Weight of an auxiliary head's loss. Source: Szegedy et al. 2015, section 5."""


class Gradients(NamedTuple):
    """Gradients and metrics of one training step."""

    params: PyTree
    batch_stats: PyTree
    metrics: Mapping[str, Float[Array, ""]]


GradFn = Callable[[Apply, PyTree, PyTree, Batch, Key], Gradients]
"""(apply, params, batch_stats, batch, key) -> Gradients: a defence."""


def cross_entropy_gradients(
    apply: Apply, params: PyTree, batch_stats: PyTree, batch: Batch, key: Key
) -> Gradients:
    """Gradients of the mean cross-entropy on `batch`; metrics `loss` and `accuracy`.

    Auxiliary heads add `AUXILIARY_WEIGHT` of theirs to the loss, and nothing to the
    accuracy.
    """

    def cross_entropy(logits):
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch.y)
        return losses.mean()

    def loss_fn(params):
        found, stats = apply(params, batch_stats, batch.x, key)
        logits, *auxiliary = found if isinstance(found, tuple) else (found,)
        loss = cross_entropy(logits)
        for others in auxiliary:
            loss = loss + AUXILIARY_WEIGHT * cross_entropy(others)
        accuracy = (logits.argmax(axis=-1) == batch.y).mean()
        return loss, (stats, accuracy)

    (loss, (stats, accuracy)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return Gradients(grads, stats, {"loss": loss, "accuracy": accuracy})
