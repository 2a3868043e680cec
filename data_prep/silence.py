"""Removal of silence, as Iqbal et al. do before they compute features.

A silence is at least 500 ms long, and every 500 ms of it have a level not above the
threshold. 400 ms of it stay with the sounds on both sides. The threshold is -48 dBFS,
or -56 dBFS for a clip of transients only.

Levels are RMS of 16-bit audio, with 0 dBFS for 32768. Times are whole milliseconds, as
in pydub 0.23.0, with which they split.

Source: Iqbal et al. 2018, DCASE workshop; tqbl/dcase2018_task2 at 8e4f22e,
task2/silence.py, with the constants of task2/config/silence.py.
Differs: they store the parts as separate clips. `without_silence` joins them, and
includes samples that two parts share once, as later versions of pydub do. Their
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
# Iqbal et al. count the envelope's samples; all of their clips have 44.1 kHz.
ENVELOPE_S = 1024 / 44_100
ENVELOPE_FLOOR_DB = -30  # under the envelope's maximum
TRANSIENT_S = 0.5  # a shorter time above that floor is a transient


def without_silence(
    wave: Float32[np.ndarray, "time"], sample_rate_hz: int, *, drop_short: bool = False
) -> Float32[np.ndarray, "kept"]:
    """The `sounding_parts` of a wave, joined, with each sample once.

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

    Two sounds overlap if the silence between them is shorter than 800 ms. A wave of up
    to 800 ms, or without any sound above the threshold, is one part.

    Args:
        wave: mono, in [-1, 1].
        sample_rate_hz: of the wave.
        drop_short: leave out parts of up to 900 ms if the mean part is longer than 1.4
            s. Their code intends this, but compares seconds with milliseconds and never
            leaves out a part; that is the default here.

    Raises:
        ValueError: the rate is not positive, or samples are NaN or infinite.
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
    # The last fraction of a millisecond, which pydub cuts off or pads.
    parts[sounds[:, 1] >= duration_ms, 1] = len(audio)
    if drop_short:
        lengths_ms = (parts[:, 1] - parts[:, 0]) * 1000 / sample_rate_hz
        if lengths_ms.mean() > LONG_MEAN_MS:
            parts = parts[lengths_ms > SHORT_PART_MS]
    return [(int(start), int(stop)) for start, stop in parts]


def threshold_dbfs(wave: Float32[np.ndarray, "time"], sample_rate_hz: int) -> int:
    """Threshold of silence in dBFS: -56 for a clip of transients only, otherwise -48.

    A clip has more than transients if its envelope, a moving average of the magnitude,
    stays less than 30 dB below its maximum for half a second.

    As in their code, a sound that lasts until the end of the clip does not count: a
    steady tone has the threshold of transients.

    Raises:
        ValueError: samples are NaN or infinite.
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
    # pydub's RMS is rounded down to a whole number, and may equal the threshold.
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
    """Number of whole samples before each time."""
    return time_ms * sample_rate_hz // 1000


def _sums(values: Int64[np.ndarray, "time"]) -> Int64[np.ndarray, "time+1"]:
    """Exact sum of all values before each place."""
    return np.concatenate([[0], np.cumsum(values)])


def _longest_ended_run(mask: Bool[np.ndarray, "time"]) -> int:
    """Length of the longest run of True that is followed by False."""
    edges = np.diff(mask.astype(np.int8), prepend=0)
    starts, stops = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    return int(np.max(stops - starts[: len(stops)], initial=0))
