"""The contract of a training defence."""

from collections.abc import Mapping
from typing import NamedTuple, Protocol, runtime_checkable

import jax
import optax
from jaxtyping import Array, Float

from advjax.types import Batch, Key, PyTree


@runtime_checkable
class Apply(Protocol):
    """A callable type for the chain behind the defence's stage and the network."""

    def __call__(
        self,
        params: PyTree,
        batch_stats: PyTree,
        x: Float[Array, "batch *features"],
        key: Key,
        /,
    ) -> tuple[
        Float[Array, "batch classes"] | tuple[Float[Array, "batch classes"], ...],
        PyTree,
    ]:
        """Apply the network in training mode to a batch at the defence's stage.

        Args:
            params: the network's parameters.
            batch_stats: the running statistics.
            x: the batch.
            key: of the dropout.

        Returns:
            The logits, or a tuple of these and the logits of auxiliary heads; and the
            new running statistics.
        """


AUXILIARY_WEIGHT = 0.3
"""Weight of an auxiliary head's loss. Source: Szegedy et al. 2015, section 5."""


class Gradients(NamedTuple):
    """Gradients and metrics of one training step."""

    params: PyTree
    batch_stats: PyTree
    metrics: Mapping[str, Float[Array, ""]]


@runtime_checkable
class GradFn(Protocol):
    """A callable type for a defence: the gradients of one training step."""

    def __call__(
        self,
        apply: Apply,
        params: PyTree,
        batch_stats: PyTree,
        batch: Batch,
        key: Key,
        /,
    ) -> Gradients:
        """Gradients of the defence's loss on a batch.

        Args:
            apply: the network. `fit` passes one that also takes `train=False`, for
                evaluation mode.
            params: the network's parameters.
            batch_stats: the running statistics.
            batch: examples at the stage of the defence, and their labels.
            key: of the defence's randomness and of the dropout.

        Returns:
            Gradients by `params`, the new running statistics, and metrics with at
            least `loss` and `accuracy`.
        """


def cross_entropy_gradients(
    apply: Apply, params: PyTree, batch_stats: PyTree, batch: Batch, key: Key
) -> Gradients:
    """Gradients of the mean cross-entropy on `batch`; metrics `loss` and `accuracy`.

    Auxiliary heads add `AUXILIARY_WEIGHT` times their loss; the accuracy ignores them.
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
