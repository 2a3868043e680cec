"""Clips in other pitches, for training.

Sallo et al. (2020) augment "by pitch-shifting as 1-D filtration" with the scales 0.75,
0.9, 1.15 and 1.5, and do not state the resulting length. Both readings are here:
"resample" plays the clip faster or slower, as Boddapati's thesis does, to which the
publication's lineage goes back; "phase_vocoder" keeps the length.

Source: arXiv:2008.11618.
"""

import fractions
import functools
import math
import sys
import warnings
from collections.abc import Callable

import numpy as np
from jaxtyping import Float32

from data_prep.clips import resampled

FACTORS = (0.75, 0.9, 1.15, 1.5)  # new frequency over old
# Clips are read at twice the wanted rate and shifted there. 0.75 times the frequencies
# of a clip at 16 kHz would end at 6 kHz, and the empty band above would reveal
# augmented clips to a network. Enough for any factor above one half.
HEADROOM = 2
VOCODER_WINDOW = 2048  # samples, librosa's default: 64 ms at twice 16 kHz


def by_resampling(
    wave: Float32[np.ndarray, "time"], factor: float, *, rate_hz: int, new_rate_hz: int
) -> Float32[np.ndarray, "new_time"]:
    """The wave played `factor` times as fast: higher pitch, 1/factor of the length.

    Args:
        wave: at `rate_hz`.
        factor: new frequency over old.
        rate_hz: of the wave.
        new_rate_hz: of the result.
    """
    ratio = fractions.Fraction(str(factor))
    return resampled(wave, rate_hz * ratio.numerator, new_rate_hz * ratio.denominator)


def by_phase_vocoder(
    wave: Float32[np.ndarray, "time"], factor: float, *, rate_hz: int, new_rate_hz: int
) -> Float32[np.ndarray, "new_time"]:
    """The wave at another pitch and equal length: 12 log2(factor) semitones.

    librosa's phase vocoder stretches the wave, and resampling restores its length. It
    loses level, up to 1 dB of a tone and 4 dB of rain. Arguments as for
    `by_resampling`.
    """
    padding = max(0, VOCODER_WINDOW - len(wave))
    with warnings.catch_warnings():
        # librosa 1.0 calls itself with arguments that it warns about.
        warnings.filterwarnings("ignore", r"The `\w+` parameter", FutureWarning)
        shifted = _librosa_pitch_shift()(
            np.pad(wave, (0, padding)),
            sr=rate_hz,
            n_steps=12 * math.log2(factor),
            n_fft=VOCODER_WINDOW,
        )
    return resampled(shifted[: len(wave)], rate_hz, new_rate_hz)


SHIFTS: dict[str, Callable[..., Float32[np.ndarray, "new_time"]]] = {
    "resample": by_resampling,
    "phase_vocoder": by_phase_vocoder,
}


def check_way(way: str) -> None:
    """Raise ValueError if `way` is not in `SHIFTS`."""
    if way not in SHIFTS:
        raise ValueError(
            f"no pitch shift {way!r}; choose {' or '.join(SHIFTS)}, or None"
        )


def read_shifted(
    read: Callable[[int], Float32[np.ndarray, "time"]],
    factor: float,
    *,
    way: str,
    sample_rate_hz: int,
) -> Float32[np.ndarray, "new_time"]:
    """A clip in another pitch, clipped to full scale.

    Args:
        read: returns the recorded clip at any rate in Hz.
        factor: new frequency over old.
        way: a name in `SHIFTS`.
        sample_rate_hz: of the result.

    Raises:
        ValueError: `way` is unknown.
    """
    check_way(way)
    rate_hz = HEADROOM * sample_rate_hz
    shifted = SHIFTS[way](
        read(rate_hz), factor, rate_hz=rate_hz, new_rate_hz=sample_rate_hz
    )
    return np.clip(shifted, -1.0, 1.0)


@functools.cache
def _librosa_pitch_shift() -> Callable[..., np.ndarray]:
    print(
        "librosa compiles its phase vocoder; the first time this may take a minute",
        file=sys.stderr,
        flush=True,
    )
    import librosa

    return librosa.effects.pitch_shift
