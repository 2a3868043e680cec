"""Classifiers from published weights: enrolled speakers, and detectors as they are."""

from typing import NamedTuple

import jax
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float, Int

from advjax.classifier import Classifier, variable_shapes
from advjax.pretrained.packages import Weights
from advjax.representations import Representation
from advjax.types import Key, PyTree

BATCH_SIZE = 32


class EnrolmentNoise(NamedTuple):
    """Gaussian noise on the clips that enrol speakers.

    Attributes:
        at: the stage of the chain where it enters.
        sigma: its standard deviation.
        seed: of its draws.
    """

    at: str
    sigma: float
    seed: int


def load(
    module: nn.Module,
    weights: Weights,
    representation: Representation,
    labels: tuple[str, ...],
    **more: Float[np.ndarray, "..."],
) -> Classifier:
    """A classifier of published weights.

    Args:
        module: the network.
        weights: its parameters.
        representation: its front end.
        labels: names of the classes.
        **more: parameters that the weights lack, by name.

    Raises:
        ValueError: options of the network or the front end that the weights do not fit.
    """
    params = {**weights.params, **more}
    wanted = variable_shapes(module, representation.feature_shape)["params"]
    if (found := _shapes(params)) != (needed := _shapes(wanted)):
        odd = min(found.items() ^ needed.items())[0]
        raise ValueError(
            f"the weights of {weights.source} do not fit this network behind "
            f"{representation.name} (other shapes at {odd}): leave out its options"
        )
    return Classifier(
        variables={"params": jax.tree.map(np.asarray, params)},
        module=module,
        representation=representation,
        labels=labels,
    )


def enrol(
    module: nn.Module,
    weights: Weights,
    representation: Representation,
    x: Float[np.ndarray, "clips *example"],
    y: Int[np.ndarray, "clips"],
    *,
    labels: tuple[str, ...],
    noise: EnrolmentNoise | None = None,
) -> Classifier:
    """A classifier whose classes are the mean embeddings of the speakers' clips.

    Source: `VoiceEncoder.embed_speaker` of Resemblyzer 0.1.4: the mean of the clips'
    embeddings, divided by its norm. With noise, one noisy copy of each clip is embedded
    in its place, as in training with noise (Cohen et al. 2019): noise moves embeddings
    in directions that all speakers share.

    Args:
        module: a speaker encoder with a method `embed` and a parameter `speakers`.
        weights: its parameters but for `speakers`.
        representation: its front end.
        x: the clips' features; with noise, the clips at the stage of the noise.
        y: the speaker of each clip.
        labels: names of the speakers.
        noise: Gaussian noise, by default none.

    Raises:
        ValueError: a speaker without a clip, or options that the weights do not fit.
    """
    if missing := sorted(set(range(len(labels))) - set(y.tolist())):
        raise ValueError(f"no clip to enrol {labels[missing[0]]} from: add recordings")
    empty = np.zeros((len(labels), module.width), np.float32)
    classifier = load(module, weights, representation, labels, speakers=empty)
    noise = noise or EnrolmentNoise(representation.name, 0.0, 0)
    embeddings = _embeddings(classifier, x, noise)
    means = np.stack(
        [embeddings[y == each].mean(axis=0) for each in range(len(labels))]
    )
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    params = {**classifier.variables["params"], "speakers": means}
    return classifier.replace(variables={"params": params})


def _embeddings(
    classifier: Classifier,
    x: Float[np.ndarray, "clips *example"],
    noise: EnrolmentNoise,
) -> Float[np.ndarray, "clips width"]:
    """Embeddings of noisy copies of all clips, in batches of one size."""
    steps = classifier.representation.after(noise.at)

    def features(example: Array, key: Key) -> Array:
        example += noise.sigma * jax.random.normal(key, example.shape)
        for step in steps:
            example = step.step(example)
        return example

    @jax.jit
    def embed(variables: PyTree, batch: Array, keys: Array) -> Array:
        with jax.default_matmul_precision("float32"):
            batch = jax.vmap(features)(batch, keys)
            return classifier.module.apply(variables, batch, method="embed")

    size, found = min(BATCH_SIZE, len(x)), []
    keys = jax.random.split(jax.random.key(noise.seed), len(x) + size)
    for first in range(0, len(x), size):
        batch = np.zeros((size, *x.shape[1:]), np.float32)
        part = x[first : first + size]
        batch[: len(part)] = part
        rows = embed(classifier.variables, batch, keys[first : first + size])
        found.append(np.asarray(rows)[: len(part)])
    return np.concatenate(found)


def _shapes(tree: PyTree) -> dict[str, tuple[int, ...]]:
    return {
        jax.tree_util.keystr(path): np.shape(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }
