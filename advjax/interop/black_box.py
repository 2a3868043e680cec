"""Functions outside of JAX as logits functions without gradients."""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.buffer_callback import buffer_callback
from jaxtyping import Float

from advjax.callables import UnusableNetwork
from advjax.classifier import BaseClassifier
from advjax.runtime import targets
from advjax.types import AnyArray, Logits

Batch = Float[np.ndarray, "batch *features"]
Rows = Float[np.ndarray, "batch classes"]


class BlackBox:
    """A logits function that calls the host: of certificates and black-box attacks.

    Batches reach it whole: under `vmap` it is called once for all examples.
    """

    def __init__(
        self, call: Callable[[Batch], Rows], num_classes: int, name: str
    ) -> None:
        """Wrap a function.

        Args:
            call: float32 examples to rows of logits, on the host; called from several
                threads where several devices share the work.
            num_classes: entries of a row.
            name: of the network, for messages.
        """
        self.call, self.num_classes, self.name = call, num_classes, name

    def __call__(self, x: AnyArray) -> Logits:
        """Logits of one example; refuses to be differentiated."""
        return _evaluate(self, jnp.asarray(x, jnp.float32))

    def on_host(self, batch: AnyArray) -> Rows:
        """Rows of logits of a batch."""
        return np.asarray(self.call(np.asarray(batch)), np.float32)


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _evaluate(box, x):
    @jax.custom_batching.custom_vmap
    def rows(batch):
        result = jax.ShapeDtypeStruct((len(batch), box.num_classes), jnp.float32)
        if not targets.on_cpu():
            return jax.pure_callback(box.on_host, result, batch)
        # A pure_callback copies large arrays in a pool of threads, which may all be
        # busy with programs that wait for the host: jaxlib 0.10.2 waits for ever then.
        return buffer_callback(functools.partial(_fill, box), result)(batch)

    @rows.def_vmap
    def rows_of_all(axis_size, batched, batch):
        found = rows(batch.reshape(-1, *batch.shape[2:]))
        return found.reshape(axis_size, -1, box.num_classes), True

    return rows(x[None])[0]


def _fill(box, context, out, batch):
    del context
    np.asarray(out)[...] = box.on_host(batch)


def _refuse(box, x):
    del x
    raise UnusableNetwork(no_gradients(box.name))


_evaluate.defvjp(_refuse, lambda box, saved, cotangent: None)


def check_visible(classifier: BaseClassifier, instead: str) -> None:
    """Refuse a black box where the operations of a network are needed.

    Args:
        classifier: to translate.
        instead: what to do with a black box, for the message.

    Raises:
        ValueError: it is a black box.
    """
    if not classifier.has_gradients:
        raise UnusableNetwork(
            f"{classifier.name} is a black box, whose operations JAX does not see: "
            f"{instead}"
        )


def no_gradients(name: str) -> str:
    """The refusal of an attack that asks a black box for gradients."""
    return (
        f"{name} is a black box, which JAX cannot differentiate: take an attack that "
        "needs no gradients: nes, partial_information or noise"
    )
