"""Chunks of clips as a batch, before the first layer and after the last.

Source: Subramanian et al. 2019, arXiv:1907.02477, whose classifiers return the mean of
the probabilities of all chunks.
"""

from jaxtyping import Array, Float, Int

from advjax.probabilities import log_mean_softmax


def standardise(
    x: Float[Array, "batch *chunks frames bands 1"], mean: float, deviation: float
) -> Float[Array, "rows frames bands 1"]:
    """All chunks as rows, standardised by the training set's mean and deviation."""
    return (x.reshape(-1, *x.shape[-3:]) - mean) / deviation


def clip_logits(
    rows: Float[Array, "rows classes"],
    like: Float[Array, "batch *chunks frames bands 1"],
    lengths: Int[Array, "batch"] | None = None,
) -> Float[Array, "batch classes"]:
    """The logarithm of the mean softmax over a clip's chunks; without chunks, the row.

    Args:
        rows: logits of every chunk.
        like: the network's input, for its shape.
        lengths: chunks of each clip, where the others are padding; None for all.
    """
    if like.ndim == 4:
        return rows
    return log_mean_softmax(rows.reshape(*like.shape[:2], rows.shape[-1]), lengths)
