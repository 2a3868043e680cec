"""Classifiers around networks of other frameworks."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from advjax.classifier import BaseClassifier, weights_digest
from advjax.representations import Representation
from advjax.types import AnyArray, Features, Logits, LogitsFn


@struct.dataclass
class ForeignClassifier(BaseClassifier):
    """A logits function of any origin as a classifier.

    Attributes:
        network: one example at the network's input to one row of logits.
        representation: the network's input representation.
        labels: the name of each class.
        order: the network's own number of each class.
        name: the text that names the network.
        code: hexadecimal digest of the file that defines it.
        has_gradients: False for a black box.
        remarks: sentences on what was checked at load.
        recurrent: a PyTorch module with recurrent layers, which are unrolled over time:
            its gradient may take minutes to compile.
    """

    network: LogitsFn
    representation: Representation = struct.field(pytree_node=False)
    labels: tuple[str, ...] = struct.field(pytree_node=False)
    order: tuple[int, ...] = struct.field(pytree_node=False)
    name: str = struct.field(pytree_node=False)
    code: str = struct.field(pytree_node=False, default="")
    has_gradients: bool = struct.field(pytree_node=False, default=True)
    remarks: tuple[str, ...] = struct.field(pytree_node=False, default=())
    recurrent: bool = struct.field(pytree_node=False, default=False)

    def __repr__(self) -> str:
        """The network's name, what it takes in, and the number of classes."""
        stage, count = self.representation.name, len(self.labels)
        return f"ForeignClassifier({self.name}, {stage}, {count} labels)"

    def logits(self, features: Features) -> Logits:
        """Logits of one example at the network's own input, in the order of labels."""
        return self.network(features)[jnp.asarray(self.order)]

    def logits_fn(self, at: str, *, precision: str = "float32") -> LogitsFn:
        """The logits as a function of one example; see `BaseClassifier`.

        Raises:
            ValueError: also for a precision that such a network is not computed in.
        """
        if precision == "bfloat16" or (
            precision != "float32" and not self.has_gradients
        ):
            raise ValueError(
                f"precision={precision!r}: {self.name} computes in a precision of its "
                "own; give float32"
            )
        return super().logits_fn(at, precision=precision)

    def num_parameters(self) -> int:
        """Numbers that the function holds as arrays, buffers included."""
        return sum(np.size(each) for each in self._arrays().values())

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the file that defines it and its arrays.

        Other files that the file imports are not in it.
        """
        return weights_digest(self._arrays(), self.code)

    def _arrays(self) -> dict[str, AnyArray]:
        return {
            jax.tree_util.keystr(path): leaf
            for path, leaf in jax.tree_util.tree_leaves_with_path(self.network)
            if isinstance(leaf, jax.Array | np.ndarray)
        }

    def in_order(self, labels: Sequence[str]) -> "ForeignClassifier":
        """The classifier with these labels first, matched by name.

        Classes beyond them stay, as classes that no clip has. A network without labels
        of its own takes these as they are.

        Raises:
            ValueError: a label that the network lacks, or another number of classes.
        """
        if not self.labels:
            if len(labels) != len(self.order):
                raise ValueError(
                    f"{self.name} names no labels and has {len(self.order)} classes, "
                    f"but the clips have {len(labels)}: let it name its labels"
                )
            return self.replace(labels=tuple(labels))
        if missing := [label for label in labels if label not in self.labels]:
            more = f" and {len(missing) - 3} more" * (len(missing) > 3)
            raise ValueError(
                f"{self.name} has no class {', '.join(map(repr, missing[:3]))}{more}, "
                f"which clips are of; its classes are {', '.join(self.labels)[:300]}"
            )
        rest = [label for label in self.labels if label not in labels]
        names = (*labels, *rest)
        places = dict(zip(self.labels, self.order, strict=True))
        order = tuple(places[label] for label in names)
        return self.replace(labels=names, order=order)
