"""Seconds and Hz of the frames and bands of time-frequency representations."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.representations import (
    Log1pMelMagnitudes,
    LogMel,
    Magnitude,
    MelEnergies,
    MelMagnitudes,
    Representation,
    Scalogram,
)
from advjax.signal.mel import hz_to_mel, mel_to_hz


class ImageAxes(NamedTuple):
    """The axes of an array [frames, bands, 1], for `image_grid_plot`.

    Attributes:
        frame_s: seconds from one frame to the next; None if frames have no time.
        band_hz: centre frequency of each band; None if bands have no frequency.
    """

    frame_s: float | None = None
    band_hz: Float[np.ndarray, "bands"] | None = None


def image_axes(representation: Representation) -> ImageAxes:
    """The axes of a representation, as far as frames and bands have units."""
    rate = representation.sample_rate_hz
    match representation:
        case Magnitude():
            bins = np.arange(representation.num_fft // 2 + 1)
            return ImageAxes(
                representation.hop / rate, bins * rate / representation.num_fft
            )
        case MelEnergies() | LogMel() | MelMagnitudes():
            edges = np.linspace(0, hz_to_mel(rate / 2), representation.num_bands + 2)
            return ImageAxes(
                image_axes(representation.source).frame_s, mel_to_hz(edges[1:-1])
            )
        case Log1pMelMagnitudes():
            return image_axes(representation.source)
        case Scalogram():
            centres = np.geomspace(
                representation.min_hz, representation.max_hz, representation.num_bins
            )
            return ImageAxes(representation.hop / rate, centres)
    return ImageAxes()
