"""Mel scales and triangular filterbanks, in two conventions.

`mel_filterbank`: the HTK formula mel = 2595 log10(1 + f / 700). Filter edges are
rounded down to FFT bins and each triangle peaks at 1 (no area normalisation), as in
python_speech_features 0.6 `base.get_filterbanks`.

`slaney_filterbank`: linear up to 1 kHz and logarithmic above, equal areas, as in
librosa's `filters.mel`.
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
        num_bands: number of filters, equally spaced in mel.
        num_fft: transform length; there are num_fft // 2 + 1 bins.
        sample_rate_hz: samples a second.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter; default half the sample rate.

    Raises:
        ValueError: a filter would be empty: there are too many for the transform.
    """
    high_hz = sample_rate_hz / 2 if high_hz is None else high_hz
    if num_bands > num_fft // 2 + 1:
        # Empty filters: those of that size may exceed the memory.
        _refuse_empty(np.zeros((0, num_bands)), num_bands, num_fft)
    points = np.linspace(hz_to_mel(low_hz), hz_to_mel(high_hz), num_bands + 2)
    edges = np.floor((num_fft + 1) * mel_to_hz(points) / sample_rate_hz)
    bins = np.arange(num_fft // 2 + 1)[:, None]
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    with np.errstate(divide="ignore", invalid="ignore"):
        rising = (bins - left) / (centre - left)
        falling = (right - bins) / (right - centre)
    filters = np.where((bins >= left) & (bins < centre), rising, 0.0)
    filters = np.where((bins >= centre) & (bins < right), falling, filters)
    _refuse_empty(filters, num_bands, num_fft)
    return filters.astype(np.float32)


# Slaney's scale: 15 steps of 66.7 Hz up to 1 kHz, then 27 equal ratios up to 6.4 kHz.
_LINEAR_HZ, _BREAK_HZ, _BREAK_MEL = 200 / 3, 1000.0, 15.0
_LOG_STEP = np.log(6.4) / 27


def slaney_mel_to_hz(mel):
    """Frequency in Hz of a number of mels (Slaney's scale)."""
    mel = np.asarray(mel, np.float64)
    above = np.maximum(mel - _BREAK_MEL, 0.0)
    return np.minimum(mel, _BREAK_MEL) * _LINEAR_HZ * np.exp(above * _LOG_STEP)


def slaney_hz_to_mel(frequency_hz):
    """Mels of a frequency in Hz (Slaney's scale)."""
    frequency_hz = np.asarray(frequency_hz, np.float64)
    above = np.maximum(frequency_hz / _BREAK_HZ, 1.0)
    return np.minimum(frequency_hz, _BREAK_HZ) / _LINEAR_HZ + np.log(above) / _LOG_STEP


def slaney_filterbank(
    *,
    num_bands: int,
    num_fft: int,
    sample_rate_hz: int,
    low_hz: float = 0.0,
    high_hz: float | None = None,
) -> Float[np.ndarray, "bins bands"]:
    """Triangular filters of equal area, one a column, float32.

    Edges lie between bins, and a filter's height is 2 over its width in Hz, as in the
    defaults of librosa and kapre.

    Args:
        num_bands: number of filters, equally spaced on Slaney's scale.
        num_fft: transform length; there are num_fft // 2 + 1 bins.
        sample_rate_hz: samples a second.
        low_hz: lower edge of the first filter.
        high_hz: upper edge of the last filter; default half the sample rate.

    Raises:
        ValueError: a filter would be empty: there are too many for the transform.

    Source: Slaney 1998, Auditory Toolbox, version 2, `mfcc`.
    """
    high_hz = sample_rate_hz / 2 if high_hz is None else high_hz
    low, high = slaney_hz_to_mel(low_hz), slaney_hz_to_mel(high_hz)
    edges = slaney_mel_to_hz(np.linspace(low, high, num_bands + 2))
    bins_hz = np.arange(num_fft // 2 + 1)[:, None] * (sample_rate_hz / num_fft)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins_hz - left) / (centre - left)
    falling = (right - bins_hz) / (right - centre)
    filters = np.maximum(np.minimum(rising, falling), 0.0) * 2 / (right - left)
    _refuse_empty(filters, num_bands, num_fft)
    return filters.astype(np.float32)


def _refuse_empty(filters: np.ndarray, num_bands: int, num_fft: int) -> None:
    if not filters.any(axis=0).all():
        raise ValueError(
            f"{num_bands} mel bands leave some filter without a bin at num_fft="
            f"{num_fft}: use fewer bands or a longer transform"
        )
