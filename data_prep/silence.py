"""Silence removal as Iqbal et al. did it before they computed features.

A silence is at least 500 ms long, and every 500 ms of it have a level that is not above
the threshold; 400 ms of it stay with the sounds on both sides. The threshold is
-48 dBFS, or -56 dBFS for a clip of transients only.

Levels are RMS of 16-bit audio, with 0 dBFS for 32768, and times are whole milliseconds,
as pydub 0.23.0 has them, the package that they split with.

Source: Iqbal et al. 2018, DCASE workshop; tqbl/dcase2018_task2 at 8e4f22e,
task2/silence.py, with the constants of task2/config/silence.py.
Differs: they store the parts as clips of their own. `without_silence` joins them, and
gives the samples that two of them share once, as later versions of pydub do. Their
magnitude of the sample -32768 overflows and is negative.
"""

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64

from advjax.signal.samples import to_int16

THRESHOLD_DBFS = -48
TRANSIENTS_THRESHOLD_DBFS = -56
MIN_SILENCE_MS = 500
KEPT_SILENCE_MS = 400  # on either side of a sound
SHORT_PART_MS = 2 * KEPT_SILENCE_MS + 100  # with its silence
LONG_MEAN_MS = SHORT_PART_MS + 500
# They count the envelope's samples; all of their clips have 44.1 kHz.
ENVELOPE_S = 1024 / 44_100
ENVELOPE_FLOOR_DB = -30  # under the envelope's maximum
TRANSIENT_S = 0.5  # what stays above that floor for less is a transient


def without_silence(
    wave: Float32[np.ndarray, "time"], sample_rate_hz: int, *, drop_short: bool = False
) -> Float32[np.ndarray, "kept"]:
    """The `sounding_parts` of a wave, one after the other and each sample once.

    Arguments and errors as for `sounding_parts`.
    """
    pieces, position = [], 0
    for start, stop in sounding_parts(wave, sample_rate_hz, drop_short=drop_short):
        pieces.append(wave[max(start, position) : stop])
        position = stop
    return np.concatenate(pieces)


def sounding_parts(
    wave: Float32[np.ndarray, "time"], sample_rate_hz: int, *, drop_short: bool = False
) -> list[tuple[int, int]]:
    """Start and stop (exclusive) of every sound, in samples, with its kept silence.

    Two of them overlap where the silence in between has less than 800 ms. A wave of
    up to 800 ms, and one without any sound above the threshold, are one part.

    Args:
        wave: mono, in [-1, 1].
        sample_rate_hz: of the wave.
        drop_short: leaves out parts of up to 900 ms where the mean part has more than
            1.4 s. Their code means to, but it compares seconds with milliseconds, so
            that nothing is ever left out; that is the default here.

    Raises:
        ValueError: a rate that is not positive; samples that are NaN or infinite.
    """
    if sample_rate_hz < 1:
        raise ValueError(
            f"sample_rate_hz is {sample_rate_hz}: give the rate of the wave in Hz"
        )
    audio = to_int16(wave)
    whole = [(0, len(audio))]
    if len(audio) * 1000 <= 2 * KEPT_SILENCE_MS * sample_rate_hz:
        return whole
    threshold = threshold_dbfs(wave, sample_rate_hz)
    duration_ms = round(1000 * len(audio) / sample_rate_hz)
    silences = _silences(audio, sample_rate_hz, duration_ms, threshold)
    starts = np.append(0, silences[:, 1])
    stops = np.append(silences[:, 0], duration_ms)
    sounds = np.stack([starts, stops], axis=1)[starts < stops]
    if not len(sounds):
        return whole
    sounds += np.array([[-KEPT_SILENCE_MS, KEPT_SILENCE_MS]])
    parts = _samples(np.clip(sounds, 0, duration_ms), sample_rate_hz)
    # The fraction of a millisecond at the end, which pydub cuts off or fills up.
    parts[sounds[:, 1] >= duration_ms, 1] = len(audio)
    if drop_short:
        lengths_ms = (parts[:, 1] - parts[:, 0]) * 1000 / sample_rate_hz
        if lengths_ms.mean() > LONG_MEAN_MS:
            parts = parts[lengths_ms > SHORT_PART_MS]
    return [(int(start), int(stop)) for start, stop in parts]


def threshold_dbfs(wave: Float32[np.ndarray, "time"], sample_rate_hz: int) -> int:
    """The level of silence in dBFS: -56 for a clip of transients only, otherwise -48.

    A clip has more than transients where its envelope, a moving average of the
    magnitude, is less than 30 dB under its maximum for half a second without a break.

    As in their code, what lasts until the end of the clip does not count: a steady tone
    has the threshold of transients.

    Raises:
        ValueError: samples that are NaN or infinite.
    """
    magnitude = np.abs(to_int16(wave).astype(np.int64))
    num_samples = min(max(1, round(ENVELOPE_S * sample_rate_hz)), len(magnitude))
    sums = _sums(magnitude)
    envelope = sums[num_samples:] - sums[: len(sums) - num_samples]
    above = envelope > 10 ** (ENVELOPE_FLOOR_DB / 20) * np.max(envelope)
    lasting = _longest_ended_run(above) >= TRANSIENT_S * sample_rate_hz
    return THRESHOLD_DBFS if lasting else TRANSIENTS_THRESHOLD_DBFS


def _silences(
    audio: Int16[np.ndarray, "time"],
    sample_rate_hz: int,
    duration_ms: int,
    threshold: int,
) -> Int64[np.ndarray, "silences 2"]:
    """Start and stop of every silence in ms: silent windows that overlap or touch."""
    marks = _samples(np.arange(duration_ms + 1), sample_rate_hz)
    energies = _sums(audio.astype(np.int64) ** 2)[np.minimum(marks, len(audio))]
    energy = energies[MIN_SILENCE_MS:] - energies[:-MIN_SILENCE_MS]
    num_samples = marks[MIN_SILENCE_MS:] - marks[:-MIN_SILENCE_MS]
    # pydub's RMS is a whole number, rounded down, and may be at the threshold.
    least_rms = int(10 ** (threshold / 20) * 32768) + 1
    windows = np.flatnonzero(energy < least_rms**2 * num_samples)
    if not len(windows):
        return np.zeros((0, 2), np.int64)
    gaps = np.flatnonzero(np.diff(windows) > MIN_SILENCE_MS)
    starts = windows[np.append(0, gaps + 1)]
    stops = windows[np.append(gaps, len(windows) - 1)] + MIN_SILENCE_MS
    return np.stack([starts, stops], axis=1)


def _samples(
    time_ms: Int64[np.ndarray, "*shape"], sample_rate_hz: int
) -> Int64[np.ndarray, "*shape"]:
    """The number of whole samples before each time."""
    return time_ms * sample_rate_hz // 1000


def _sums(values: Int64[np.ndarray, "time"]) -> Int64[np.ndarray, "time+1"]:
    """The sum of all values before each place, exactly."""
    return np.concatenate([[0], np.cumsum(values)])


def _longest_ended_run(mask: Bool[np.ndarray, "time"]) -> int:
    """The length of the longest run of True that has a False behind it."""
    edges = np.diff(mask.astype(np.int8), prepend=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return int(np.max(stops - starts[: len(stops)], initial=0))
