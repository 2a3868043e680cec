"""Mel scale and triangular filterbank.

Convention: the HTK formula mel = 2595 log10(1 + f / 700). Filter edges are rounded down
to FFT bins and each triangle peaks at 1 (no area normalisation), as in
python_speech_features 0.6 `base.get_filterbanks`.
"""

import numpy as np
from jaxtyping import Float


def hz_to_mel(frequency_hz):
    """Mels of a frequency in Hz (HTK formula)."""
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)


def mel_to_hz(mel):
    """Frequency in Hz of a number of mels (HTK formula)."""
    return 700.0 * (10.0 ** (np.asarray(mel) / 2595.0) - 1.0)


def mel_filterbank(
    *,
    num_bands: int,
    num_fft: int,
    sample_rate_hz: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
) -> Float[np.ndarray, "bins bands"]:
    """Triangular filters, one a column, float32.

    Args:
        num_bands: filters, equally spaced in mel.
        num_fft: transform length; there are num_fft // 2 + 1 bins.
        sample_rate_hz: samples a second.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter; default half the sample rate.

    Raises:
        ValueError: a filter would be empty, because there are too many for this
            transform.
    """
    high_hz = sample_rate_hz / 2 if high_hz is None else high_hz
    points = np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), num_bands + 2)
    edges = np.floor((num_fft + 1) * mel_to_hz(points) / sample_rate_hz)
    bins = np.arange(num_fft // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (bins - left) / (centre - left)
        falling = (right - bins) / (right - centre)
    filters = np.where((bins >= left) & (bins < centre), rising, 0.0)
    filters = np.where((bins >= centre) & (bins < right), falling, filters)
    if not filters.any(axis=0).all():
        raise ValueError(
            f"{num_bands} mel bands leave some filter without a bin at num_fft="
            f"{num_fft}: use fewer bands or a longer transform"
        )
    return filters.astype(np.float32)
