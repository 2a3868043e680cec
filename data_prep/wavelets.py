"""Levels of a scalogram, recomputed with PyWavelets from the audio."""

import numpy as np
import pywt
from jaxtyping import Float

from advjax.representations import Representation, Scalogram
from advjax.signal.framing import num_frames
from advjax.signal.wavelets import pooling_deviations

TOLERANCE = 0.02
"""Largest accepted difference, relative to the level's maximum.

PyWavelets averages its wavelet over a sample and floors its index into a table. That
costs 2 % and more of the amplitude below scale 8, and 0.3 % at the middle scale of
`dwt`.
"""
_PRECISION = 16  # of the table; the default of 12 gives errors of a tenth


def scalogram_in(representation: Representation) -> Scalogram | None:
    """Scalogram that a representation is computed from; None if there is none.

    Args:
        representation: may also consist of two representations side by side.
    """
    for stage in representation.chain():
        if isinstance(stage, Scalogram):
            return stage
    first = getattr(representation, "first", None)
    return scalogram_in(first) if first is not None else None


def level(
    scalogram: Scalogram, wave: Float[np.ndarray, "time"], index: int
) -> Float[np.ndarray, "frames"]:
    """One bin of a scalogram: root of the pooled power of `pywt.cwt`.

    Args:
        scalogram: defines the wavelet, its scale and the pooling.
        wave: of the length that the scalogram requires.
        index: of the bin, from the lowest frequency.
    """
    length, hop = scalogram.frame_length, scalogram.hop
    scale = scalogram.scales[index]
    count = num_frames(scalogram.num_samples, length, hop)
    tail = (count - 1) * hop + length - scalogram.num_samples
    # A frame of silence on either side: pooling spans three frames.
    padded = np.pad(wave, (length, length + tail))
    name = f"cmor2.0-{scalogram.omega0 / (2 * np.pi)}"
    (row,), _ = pywt.cwt(padded, [scale], name, precision=_PRECISION, method="fft")
    (deviation,) = pooling_deviations(np.array([scale]), frame_length=length)
    from_centre = np.arange(3 * length) - (3 * length - 1) / 2
    weights = np.exp(-0.5 * (from_centre / deviation) ** 2)
    windows = np.lib.stride_tricks.sliding_window_view(np.abs(row) ** 2, 3 * length)
    return np.sqrt(windows[::hop][:count] @ (weights / weights.sum()))


def difference(
    scalogram: Scalogram,
    wave: Float[np.ndarray, "time"],
    features: Float[np.ndarray, "frames bins 1"],
) -> float:
    """Largest difference of the middle bin, relative to the bin's maximum.

    Args:
        scalogram: of the features.
        wave: of the features.
        features: the scalogram of `wave`, computed by this project.
    """
    index = scalogram.num_bins // 2
    found = features[:, index, 0]
    theirs = level(scalogram, wave, index)
    largest = float(max(found.max(), theirs.max()))
    return float(np.abs(found - theirs).max()) / largest if largest > 0 else 0.0
