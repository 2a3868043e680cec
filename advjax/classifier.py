"""Classifiers: a network, its weights, and the representation in front of it."""

import abc
import dataclasses
import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

from advjax.padding import Length
from advjax.representations import Representation
from advjax.reprs import changed_fields
from advjax.runtime.precision import check_precision, products_in
from advjax.types import Features, Logits, LogitsFn, PyTree


class BaseClassifier(abc.ABC):
    """A network of any origin, the representation in front of it, and its labels.

    Subclasses are pytrees. Under `jit` the weights are traced and everything else is
    static.

    Attributes:
        name: of the network, for people.
        representation: the network's input representation.
        labels: the name of each class.
        has_gradients: False for a black box, whose outputs alone are known.
    """

    name: str
    representation: Representation
    labels: tuple[str, ...]
    has_gradients: bool = True

    @abc.abstractmethod
    def logits(self, features: Features) -> Logits:
        """Logits of one example at the network's own input."""

    @abc.abstractmethod
    def num_parameters(self) -> int:
        """Number of weights."""

    @abc.abstractmethod
    def digest(self) -> str:
        """Sixteen hexadecimal digits that identify the network and its weights."""

    def logits_fn(self, at: str, *, precision: str = "float32") -> LogitsFn:
        """The logits as a function of one example at the stage `at` of the chain.

        The chain, and the noise added before it, are computed in float32 whatever the
        precision of the network.

        The function also takes a second argument, for an example that is padded with
        zeros: its own length. The logits are then those without the padding, up to
        rounding. Front ends in chunks and the networks behind them accept it.

        Args:
            at: a stage of the representation's chain ("waveform", "magnitude", ...).
            precision: one of `runtime.precision.PRECISIONS`. Another precision is
                another function, with certificates of its own.

        Raises:
            ValueError: an unknown stage, or a precision that this backend lacks.
        """
        self.representation.stage(at)
        check_precision(precision)
        return jax.tree_util.Partial(_LogitsFrom(at, precision), self)


@struct.dataclass
class Classifier(BaseClassifier):
    """A network of this package that was trained, as `checkpoint` stores it.

    Attributes:
        variables: Flax variables, `params` and, if the network has any, `batch_stats`.
        module: the network.
        representation: the network's input representation.
        labels: the name of each class.
    """

    variables: PyTree
    module: nn.Module = struct.field(pytree_node=False)
    representation: Representation = struct.field(pytree_node=False)
    labels: tuple[str, ...] = struct.field(pytree_node=False)

    @property
    def name(self) -> str:
        """The network's class."""
        return type(self.module).__name__

    def __repr__(self) -> str:
        """The network, what it takes in, and the number of classes; no weights."""
        network, stage = changed_fields(self.module), self.representation.name
        return f"Classifier({network}, {stage}, {len(self.labels)} labels)"

    def logits(self, features: Features, length: Length | None = None) -> Logits:
        """Logits of one example at the network's own input.

        Args:
            features: the example.
            length: its own length, if it is padded and the network accepts that.
        """
        more = {} if length is None else {"lengths": jnp.asarray(length)[None]}
        rows = self.module.apply(self.variables, features[None], train=False, **more)
        return rows[0]

    def num_parameters(self) -> int:
        """Number of trainable parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the SHA-256 of all weights and statistics."""
        return weights_digest(self.variables)


def weights_digest(weights: PyTree, *more: str) -> str:
    """Sixteen hexadecimal digits of the SHA-256 of arrays, their paths and texts."""
    sha = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(weights):
        sha.update(jax.tree_util.keystr(path).encode())
        sha.update(np.asarray(leaf, order="C").tobytes())
    for text in more:
        sha.update(text.encode())
    return sha.hexdigest()[:16]


@dataclasses.dataclass(frozen=True)
class _LogitsFrom:
    """Logits of a classifier from a stage on.

    Equal ones are one function to jit, and pickles of them reach other processes.
    """

    at: str
    precision: str

    def __call__(
        self, classifier: BaseClassifier, x: Features, length: Length | None = None
    ) -> Logits:
        with products_in("float32"):
            for step in classifier.representation.after(self.at):
                if length is None:
                    x = step.step(x)
                else:
                    x, length = step.step_padded(x, length)
        if self.precision == "bfloat16":
            x = x.astype(jnp.bfloat16)
        with products_in(self.precision):
            given = (x,) if length is None else (x, length)
            return classifier.logits(*given).astype(jnp.float32)


@functools.lru_cache(maxsize=16)
def variable_shapes(module: nn.Module, shape: tuple[int, ...]) -> PyTree:
    """Shapes and types of a network's variables, for inputs of a shape.

    Traced once for equal networks: a start asks several times. Do not change them.
    """
    init = functools.partial(module.init, train=False)
    example = jax.ShapeDtypeStruct((1, *shape), jnp.float32)
    return jax.eval_shape(init, jax.random.key(0), example)


def initialise(
    module: nn.Module, representation: Representation, key: jax.Array
) -> PyTree:
    """Fresh variables of `module` for inputs of `representation`."""
    example = jnp.zeros((1, *representation.feature_shape))
    return jax.jit(functools.partial(module.init, train=False))(key, example)
