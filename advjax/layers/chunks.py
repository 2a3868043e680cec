"""Chunks of a clip as a batch, before the first layer and after the last.

Source: Subramanian et al. 2019, arXiv:1907.02477, whose classifiers answer with the
mean of the probabilities of all chunks.
"""

from jaxtyping import Array, Float

from advjax.probabilities import log_mean_softmax


def standardise(
    x: Float[Array, "batch *chunks frames bands 1"], mean: float, deviation: float
) -> Float[Array, "rows frames bands 1"]:
    """All chunks of all clips side by side, in units of the training set's spread."""
    return (x.reshape(-1, *x.shape[-3:]) - mean) / deviation


def clip_logits(
    rows: Float[Array, "rows classes"],
    like: Float[Array, "batch *chunks frames bands 1"],
) -> Float[Array, "batch classes"]:
    """The logarithm of the mean of a clip's softmaxes; without chunks, the row itself.

    Args:
        rows: logits of every chunk.
        like: what the network was given.
    """
    if like.ndim == 4:
        return rows
    return log_mean_softmax(rows.reshape(*like.shape[:2], rows.shape[-1]))
