"""Pitch classes of a power spectrum, and their coordinates in tonal space.

Convention: class 0 is C, tuning A4 = 440 Hz. Filters and basis are those of librosa
0.11, `filters.chroma` and `feature.tonnetz`. The filters follow Ellis's
`fft2chromamx` (2007), the basis Harte, Sandler and Gasser 2006, "Detecting harmonic
change in musical audio".
"""

import numpy as np
from jaxtyping import Float

NUM_CLASSES = 12
_A0_HZ = 27.5
# Ellis's emphasis of middle octaves: a Gaussian over octaves above A0.
_CENTRE_OCTAVE, _OCTAVE_DEVIATION = 5.0, 2.0


def chroma_filterbank(
    *, num_fft: int, sample_rate_hz: int
) -> Float[np.ndarray, "bins classes"]:
    """Weight of each transform bin in each pitch class, float32.

    A bin is a Gaussian bump over the circle of semitones. Its width is the distance to
    the next bin where that is more than a semitone. The squares of a bin sum to 1; then
    low and high octaves are weakened.

    Args:
        num_fft: transform length; there are num_fft // 2 + 1 bins.
        sample_rate_hz: samples a second.
    """
    num_bins = num_fft // 2 + 1
    frequency_hz = np.arange(1, num_bins + 1) * sample_rate_hz / num_fft
    pitch = NUM_CLASSES * np.log2(frequency_hz / _A0_HZ)  # semitones above A0
    # 0 Hz has no pitch; it counts as an octave and a half below the first bin.
    pitch = np.concatenate([pitch[:1] - 1.5 * NUM_CLASSES, pitch])
    width = np.maximum(np.diff(pitch), 1.0)[:, None]
    pitch = pitch[:num_bins, None]
    # Classes count from A here; their distance is at most half the circle.
    half = NUM_CLASSES / 2
    distance = np.mod(pitch - np.arange(NUM_CLASSES) + half, NUM_CLASSES) - half
    bumps = np.exp(-0.5 * (2 * distance / width) ** 2)
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    octave = (pitch / NUM_CLASSES - _CENTRE_OCTAVE) / _OCTAVE_DEVIATION
    from_a = bumps * np.exp(-0.5 * octave**2)
    return np.roll(from_a, -3, axis=1).astype(np.float32)  # C is three above A


def tonnetz_basis() -> Float[np.ndarray, "classes 6"]:
    """Sines and cosines of each pitch class on three circles, float32.

    The circles are those of fifths, of minor thirds (both radius 1) and of major thirds
    (radius 1/2), in this order. Each has a sine and a cosine.
    """
    classes = np.arange(NUM_CLASSES)[:, None]
    turns = np.array([7 / 6, 3 / 2, 2 / 3])  # half turns a semitone
    angle = np.pi * classes * turns
    radius = np.array([1.0, 1.0, 0.5])
    pairs = np.stack([radius * np.sin(angle), radius * np.cos(angle)], axis=-1)
    return pairs.reshape(NUM_CLASSES, 6).astype(np.float32)
