"""Bag-of-visual-words encoders of an image's descriptors.

Both encoders of the publication: the first version counts the nearest words, the second
takes the distances to all words.
"""

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Bool, Float

Descriptors = Float[Array, "points features"]
Words = Float[Array, "words features"]
_FLOOR = 1e-12


def distances(descriptors: Descriptors, words: Words) -> Float[Array, "points words"]:
    """Euclidean distance of every descriptor to every word."""
    product = jnp.dot(descriptors, words.T, precision=lax.Precision.HIGHEST)
    squares = [jnp.sum(jnp.square(part), axis=1) for part in (descriptors, words)]
    found = squares[0][:, None] + squares[1][None, :] - 2 * product
    # Where a descriptor is a word, rounding may give less than zero.
    return jnp.sqrt(jnp.maximum(found, 0.0) + _FLOOR)


def mean_distances(
    descriptors: Descriptors, present: Bool[Array, "points"], words: Words
) -> Float[Array, "words"]:
    """The mean distance of an image's descriptors to each word.

    Args:
        descriptors: of all points.
        present: which points are present; with none the result is 0.
        words: the codebook.
    """
    weights = _weights(present, words.dtype)
    return jnp.dot(
        weights, distances(descriptors, words), precision=lax.Precision.HIGHEST
    )


def histogram(
    descriptors: Descriptors,
    present: Bool[Array, "points"],
    words: Words,
    *,
    sharpness: float = 10.0,
) -> Float[Array, "words"]:
    """For each word, the share of the image's descriptors that are nearest to it.

    Counting has no gradient. The backward pass is that of a softmax over minus
    `sharpness` times the distances (Athalye et al. 2018, arXiv:1802.00420: backward
    pass approximation).

    Args:
        descriptors: of all points.
        present: which points are present; with none the result is 0.
        words: the codebook.
        sharpness: of the softmax; descriptors have length 1, so distances are at most
            2.
    """
    away = distances(descriptors, words)
    soft = jax.nn.softmax(-sharpness * away, axis=1)
    hard = jax.nn.one_hot(away.argmin(axis=1), len(words), dtype=words.dtype)
    shares = soft + lax.stop_gradient(hard - soft)
    return jnp.dot(
        _weights(present, words.dtype), shares, precision=lax.Precision.HIGHEST
    )


def _weights(present, dtype):
    there = present.astype(dtype)
    return there / jnp.maximum(there.sum(), 1)
