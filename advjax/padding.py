"""Examples of several lengths in one array, padded with zeros.

One compiled program then serves all of them. It gives each example's own results, up to
rounding, where the logits function ignores the padding and what changes an example
leaves the padding zero.

A logits function of padded examples takes an example and its own length: the number of
entries along the first axis. `Classifier.logits_fn` returns one.
"""

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.types import Features, Logits

Length = Int[Array, ""] | Int[np.ndarray, ""] | np.integer | int
"""An example's own number of entries along the first axis."""


class Padded(NamedTuple):
    """Examples of several lengths, padded with zeros along their first axis.

    Attributes:
        x: the padded examples, [examples, ...].
        lengths: the own length of each, [examples].
    """

    x: Any
    lengths: Any


def pad(examples: Sequence[Float[np.ndarray, "..."]], length: int) -> Padded:
    """The examples, each padded to `length` entries along its first axis.

    Raises:
        ValueError: an example is longer.
    """
    lengths = np.asarray([len(each) for each in examples], np.int32)
    if (lengths > length).any():
        raise ValueError(
            f"length={length}: an example has {lengths.max()} entries; give at least "
            "as many"
        )
    rest = [(0, 0)] * (examples[0].ndim - 1)
    rows = [np.pad(each, [(0, length - len(each)), *rest]) for each in examples]
    return Padded(np.stack(rows), lengths)


def stack(
    examples: Sequence[Float[np.ndarray, "..."]], length: int | None
) -> Float[np.ndarray, "..."] | Padded:
    """Examples of one shape as one array; with a length, `pad`."""
    return np.stack(examples) if length is None else pad(examples, length)


def apart(x: Any) -> tuple[Any, Int[np.ndarray, "examples"] | None]:
    """The array of examples, and their own lengths if they are `Padded`.

    Raises:
        ValueError: there is not one length for each example, or it does not fit, or the
            padding is not zero.
    """
    if not isinstance(x, Padded):
        return x, None
    array, lengths = np.asarray(x.x), np.asarray(x.lengths, np.int32)
    if array.ndim < 2 or lengths.shape != array.shape[:1]:
        raise ValueError(
            f"lengths has shape {list(lengths.shape)} for x of shape "
            f"{list(array.shape)}: give one length an example, of its first axis"
        )
    if lengths.size and not 0 <= lengths.min() <= lengths.max() <= array.shape[1]:
        raise ValueError(
            f"lengths reach from {lengths.min()} to {lengths.max()}: give 0 to "
            f"{array.shape[1]}, the entries of a padded example"
        )
    for number, (row, length) in enumerate(zip(array, lengths, strict=True)):
        if row[length:].any():
            raise ValueError(
                f"x: example {number} has other entries than zero behind its length, "
                f"{length}: pad it with zeros"
            )
    return array, lengths


def in_batches(rows: Any, batch_size: int) -> Iterator[tuple[Any, int]]:
    """Batches of arrays of rows, and how many rows of each are no filling.

    The last batch is filled with copies of the last row.
    """
    total = len(jax.tree.leaves(rows)[0])
    for start in range(0, total, batch_size):
        count = min(batch_size, total - start)
        part = jax.tree.map(lambda a, at=start, n=count: a[at : at + n], rows)
        yield part if count == batch_size else fill_batch(part, batch_size), count


def fill_batch(rows: Any, batch_size: int) -> Any:
    """Arrays of at least one row each, with copies of the last row up to a batch."""
    return jax.tree.map(
        lambda a: np.concatenate([a, np.repeat(a[-1:], batch_size - len(a), axis=0)]),
        rows,
    )


class Own(NamedTuple):
    """The entries of an example that are no padding.

    Attributes:
        length: along the first axis; None for an example without padding.
    """

    length: Length | None = None

    def keep(self, values: Features, other: float = 0) -> Features:
        """The values, with another one, by default zero, for the padding."""
        if self.length is None:
            return values
        entry = jnp.arange(values.shape[0], dtype=jnp.int32)
        entry = entry.reshape(-1, *[1] * (values.ndim - 1))
        return jnp.where(entry < self.length, values, other)

    def count(self, values: Features) -> int | Float[Array, ""]:
        """The number of entries without the padding, at least 1."""
        if self.length is None:
            return max(values.size, 1)
        of_one = values.size // max(values.shape[0], 1)
        return jnp.maximum(self.length * of_one, 1).astype(jnp.float32)

    def mean(self, values: Features) -> Float[Array, ""]:
        """The mean over the entries that are no padding."""
        if self.length is None:
            return jnp.mean(values)
        return jnp.sum(self.keep(values)) / self.count(values)


WHOLE = Own()
"""All entries: the example has no padding."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PaddedLogits:
    """The logits of one padded example, whatever stands in its padding.

    Attributes:
        logits_fn: of an example and its own length.
        length: the example's own length.
    """

    logits_fn: Any
    length: Any

    def __call__(self, x: Features) -> Logits:
        """Logits of the example without its padding, where the gradient is zero."""
        return self.logits_fn(Own(self.length).keep(x), self.length)


def of_example(logits_fn: Any, length: Length | None) -> Any:
    """The logits function of one example; without a length the function itself."""
    return logits_fn if length is None else PaddedLogits(logits_fn, length)


def of_any(logits_fn: Any, lengths: Int[np.ndarray, "examples"] | None) -> Any:
    """The logits function of an example of any of these lengths, to trace it."""
    return of_example(logits_fn, None if lengths is None else np.zeros((), np.int32))


def own(logits_fn: Any) -> Own:
    """The own entries of the example that a logits function is of."""
    return Own(logits_fn.length) if isinstance(logits_fn, PaddedLogits) else WHOLE


def of_each(function: Any, logits_fn: Any) -> Any:
    """A function of one example's logits function and more, over many examples.

    Args:
        function: of the logits function of one example, and more.
        logits_fn: as for `PaddedLogits`, or of examples without padding.

    Returns:
        A function of all lengths, or None, and of the stacked rest.
    """
    return jax.vmap(
        lambda length, *rest: function(of_example(logits_fn, length), *rest)
    )
