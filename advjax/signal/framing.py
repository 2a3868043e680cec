"""Overlapping frames of a signal.

Convention: frame k holds samples k*hop to k*hop + length - 1, with no centring; the
tail is zero-padded until every sample lies in a frame (python_speech_features'
`framesig`).
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def num_frames(num_samples: int, length: int, hop: int) -> int:
    """Number of frames over the samples: 1 + ceil((num_samples - length) / hop)."""
    return 1 + max(0, -(-(num_samples - length) // hop))


def frame(
    x: Float[Array, "time"], *, length: int, hop: int
) -> Float[Array, "frames length"]:
    """Overlapping frames of `x`, the last one padded with zeros.

    Args:
        x: a signal.
        length: samples in a frame.
        hop: samples from one frame's start to the next one's.
    """
    if length < 1 or hop < 1:
        raise ValueError(f"length and hop must be positive, got {length} and {hop}")
    count = num_frames(x.shape[0], length, hop)
    padded = jnp.pad(x, (0, (count - 1) * hop + length - x.shape[0]))
    if length % hop == 0:
        # Adjacent blocks: the gradient of a gather is a slow scatter.
        blocks = padded.reshape(-1, hop)
        parts = [blocks[first : first + count] for first in range(length // hop)]
        return jnp.concatenate(parts, axis=1)
    starts = hop * np.arange(count)
    return padded[starts[:, None] + np.arange(length)[None, :]]


def preemphasis(
    x: Float[Array, "time"], *, coefficient: float = 0.97
) -> Float[Array, "time"]:
    """`x[n] - coefficient * x[n-1]`, the first sample unchanged.

    Source: python_speech_features 0.6, `sigproc.preemphasis`, and its 0.97.
    """
    return x - coefficient * jnp.pad(x[:-1], (1, 0))


def overlap_mean(
    frames: Float[Array, "frames length"], *, hop: int, num_samples: int
) -> Float[Array, "time"]:
    """Signal whose samples are the mean over the frames that cover them.

    It inverts `frame` exactly when frames agree where they overlap.
    """
    count, length = frames.shape
    index = hop * np.arange(count)[:, None] + np.arange(length)[None, :]
    total = (count - 1) * hop + length
    covers = np.bincount(index.ravel(), minlength=total).astype(np.float32)
    summed = jnp.zeros(total, frames.dtype).at[index].add(frames)
    return (summed / np.maximum(covers, 1.0))[:num_samples]


def deemphasis(
    x: Float[Array, "time"], *, coefficient: float = 0.97
) -> Float[Array, "time"]:
    """Inverse of `preemphasis`: `y[n] = x[n] + coefficient * y[n-1]`."""

    def chain(earlier, later):
        decay_earlier, value_earlier = earlier
        decay, value = later
        return decay_earlier * decay, decay * value_earlier + value

    decays = jnp.full_like(x, coefficient)
    return jax.lax.associative_scan(chain, (decays, x))[1]
