"""Spectrograms of two recordings and their difference, as bare pictures with ticks."""

import io
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.reports.figures.images import frequency_ticks, second_ticks

_RANGE_DB = 80.0
"""From the loudest bin down to the floor of the colours: about that of speech."""
_WINDOW_S = 0.032
_MOST_FRAMES = 400
LEVELS, CHANGES = "magma", "RdBu_r"
"""Colours of levels, and of differences."""


class SpectrogramPair(NamedTuple):
    """Pictures on one scale, in decibels below a full-scale sine.

    Attributes:
        clean: PNG of the clean recording; time runs to the right and frequency up.
        adversarial: PNG of the other one, in the same colours.
        difference: PNG of the second less the first, in decibels.
        low_db: level of the darkest colour; quieter bins count as this level.
        high_db: level of the brightest colour.
        largest_db: difference of the strongest colours.
        seconds: ticks of time, as shares of the width and their texts.
        hz: ticks of frequency, as shares of the height and their texts.
    """

    clean: bytes
    adversarial: bytes
    difference: bytes
    low_db: float
    high_db: float
    largest_db: float
    seconds: Sequence[tuple[float, str]]
    hz: Sequence[tuple[float, str]]


def spectrogram_pair(
    clean: Float[np.ndarray, "time"],
    adversarial: Float[np.ndarray, "time"],
    sample_rate_hz: int,
) -> SpectrogramPair:
    """Draw two waveforms of one length, full scale 1.

    The Hann window has about 32 ms. Differences beyond their 99th percentile saturate.

    Raises:
        ImportError: matplotlib is missing.
    """
    from scipy.signal import ShortTimeFFT, get_window

    size = 2 ** round(np.log2(_WINDOW_S * sample_rate_hz))
    hop = max(size // 4, -(-len(clean) // _MOST_FRAMES))
    transform = ShortTimeFFT(
        get_window("hann", size), hop, sample_rate_hz, scale_to="magnitude"
    )
    padded = [
        np.pad(wave, (0, max(0, size - len(wave)))) for wave in (clean, adversarial)
    ]
    # A sine of full scale has a magnitude of one half on either side of 0 Hz.
    levels = [
        20 * np.log10(np.maximum(2 * np.abs(transform.stft(wave)), 1e-9))
        for wave in padded
    ]
    high = float(np.ceil(levels[0].max()))
    low = high - _RANGE_DB
    before, after = (np.maximum(level, low) for level in levels)
    change = after - before
    largest = max(1.0, float(np.ceil(np.percentile(np.abs(change), 99))))
    bins, frames = before.shape
    return SpectrogramPair(
        clean=_png(before, LEVELS, low, high),
        adversarial=_png(after, LEVELS, low, high),
        difference=_png(change, CHANGES, -largest, largest),
        low_db=low,
        high_db=high,
        largest_db=largest,
        seconds=_shares(second_ticks(frames, hop / sample_rate_hz), frames),
        hz=_shares(frequency_ticks(transform.f), bins),
    )


def colour_stops(colours: str, count: int = 12) -> list[str]:
    """Colours of a scale from low to high, such as `#000004`."""
    import matplotlib
    from matplotlib.colors import to_hex

    return [to_hex(c) for c in matplotlib.colormaps[colours](np.linspace(0, 1, count))]


def _shares(ticks: tuple[list, list[str]], count: int) -> list[tuple[float, str]]:
    """Places among `count` rows or columns as shares of their whole extent."""
    return [((place + 0.5) / count, name) for place, name in zip(*ticks, strict=True)]


def _png(image: Float[np.ndarray, "bins frames"], colours: str, low, high) -> bytes:
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(
        file, image, vmin=low, vmax=high, cmap=colours, origin="lower", format="png",
        metadata={"Software": None}, pil_kwargs={"optimize": True},
    )  # fmt: skip
    return file.getvalue()
