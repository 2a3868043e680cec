"""A trained classifier: network, weights, and the representation in front of it."""

import functools
import hashlib

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax import struct

from advjax.representations import Representation
from advjax.types import Features, Logits, LogitsFn, PyTree


@struct.dataclass
class Classifier:
    """Weights are traced by `jit`; everything else is static.

    Attributes:
        variables: Flax variables, `params` and `batch_stats`.
        module: the network.
        representation: what the network takes in.
        labels: the name of each class.
    """

    variables: PyTree
    module: nn.Module = struct.field(pytree_node=False)
    representation: Representation = struct.field(pytree_node=False)
    labels: tuple[str, ...] = struct.field(pytree_node=False)

    def logits(self, features: Features) -> Logits:
        """Logits of one example at the network's own input."""
        return self.module.apply(self.variables, features[None], train=False)[0]

    def logits_fn(self, at: str) -> LogitsFn:
        """The rest of the chain after the stage `at`, then the network.

        Args:
            at: a stage of the representation's chain ("waveform", "magnitude", ...).

        Raises:
            ValueError: no such stage.
        """
        self.representation.stage(at)
        return jax.tree_util.Partial(_logits_from(at), self)

    def num_parameters(self) -> int:
        """Trainable parameters."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.variables["params"]))

    def digest(self) -> str:
        """Sixteen hexadecimal digits of the SHA-256 of all weights and statistics."""
        sha = hashlib.sha256()
        for path, leaf in jax.tree_util.tree_leaves_with_path(self.variables):
            sha.update(jax.tree_util.keystr(path).encode())
            sha.update(np.asarray(leaf, order="C").tobytes())
        return sha.hexdigest()[:16]


# Cached, so that two classifiers of a kind give jit one and the same function.
@functools.cache
def _logits_from(at: str):
    def logits_from_stage(classifier: Classifier, x: Features) -> Logits:
        for step in classifier.representation.after(at):
            x = step.step(x)
        return classifier.logits(x)

    return logits_from_stage


def initialise(
    module: nn.Module, representation: Representation, key: jax.Array
) -> PyTree:
    """Fresh variables of `module` for inputs of `representation`."""
    example = jnp.zeros((1, *representation.feature_shape))
    return jax.jit(functools.partial(module.init, train=False))(key, example)
