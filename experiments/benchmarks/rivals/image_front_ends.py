"""The image front ends again: a rival in float32, and the definitions in float64.

The rival is made of librosa, PyWavelets and NumPy. Every constant is read from the
representation. Both pipelines take one clip and have the same steps from the
spectrogram on. The exact one computes the Morlet transform of its definition; the rival
has `pywt.cwt`, whose wavelet is a table of 2^16 points looked up without interpolation.
"""

import concurrent.futures
import functools
from collections.abc import Callable, Iterator

import librosa
import numpy as np
import pywt
import scipy.signal

from advjax.representations import (
    Chroma,
    Image,
    Magnitude,
    Representation,
    Scalogram,
    Stacked,
    Tonnetz,
    Waveform,
)
from advjax.signal.framing import num_frames
from advjax.signal.wavelets import pooling_deviations
from experiments.benchmarks.rivals.front_ends import librosa_spectra, padding

Pipeline = Callable[[np.ndarray], np.ndarray]
"""From a clip [time] to its features [frames, bins]."""

PRECISION = 16
"""Of pywt.cwt; at its default of 12 the transform is off by a tenth or more."""


def in_threads(pipeline: Pipeline, clips: np.ndarray, threads: int) -> np.ndarray:
    """The features of all clips, computed by so many threads."""
    if threads == 1:
        return np.stack([pipeline(clip) for clip in clips])
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        return np.stack(list(pool.map(pipeline, clips)))


def rival(representation: Representation) -> Pipeline:
    """librosa and PyWavelets in float32, NumPy after."""
    return _pipeline(representation, np.float32)


def exact(representation: Representation) -> Pipeline:
    """The definitions in float64."""
    return _pipeline(representation, np.float64)


def _pipeline(representation: Representation, dtype) -> Pipeline:
    if isinstance(representation, Waveform):
        return lambda wave: wave.astype(dtype)
    if isinstance(representation, Stacked):
        first = _pipeline(representation.first, dtype)
        second = _pipeline(representation.second, dtype)
        return lambda wave: np.concatenate([first(wave), second(wave)], axis=1)
    before = _pipeline(representation.source, dtype)
    step = _STEPS[type(representation)](representation, dtype)
    return lambda wave: step(before(wave))


def _magnitude(magnitude: Magnitude, dtype) -> Pipeline:
    spectra = librosa_spectra(magnitude, dtype)
    return lambda wave: np.abs(spectra(wave)).T


def _chroma(chroma: Chroma, dtype) -> Pipeline:
    options = {"sr": chroma.sample_rate_hz, "tuning": 0, "dtype": dtype}
    chroma_stft = functools.partial(librosa.feature.chroma_stft, **options)
    return lambda magnitude: chroma_stft(S=np.square(magnitude.T)).T


def _tonnetz(_: Tonnetz, dtype) -> Pipeline:
    return lambda chroma: librosa.feature.tonnetz(chroma=chroma.T).T.astype(dtype)


def _scalogram(scalogram: Scalogram, dtype) -> Pipeline:
    rows = _pywt_rows if dtype == np.float32 else _exact_rows
    length, hop = scalogram.frame_length, scalogram.hop
    count = num_frames(scalogram.num_samples, length, hop)
    tail = padding(scalogram, length)
    weights = _pooling_weights(scalogram, dtype)

    def step(wave):
        # One frame of silence on either side: the transform goes on after the clip.
        padded = np.pad(wave, (length, length + tail))
        found = []
        for row, h in zip(rows(scalogram, padded), weights, strict=True):
            power = np.square(row.real) + np.square(row.imag)
            parts = power.reshape(-1, hop) @ h  # of each hop in each frame it is in
            found.append(sum(parts[j : j + count, j] for j in range(h.shape[1])))
        return np.sqrt(np.stack(found, axis=1))

    return step


def _pooling_weights(scalogram: Scalogram, dtype) -> list[np.ndarray]:
    """For each scale the Gaussian over three frames, a hop in a column."""
    length, hop = scalogram.frame_length, scalogram.hop
    if 3 * length % hop:
        raise ValueError(f"three frames of {length} are no multiple of a hop of {hop}")
    deviations = pooling_deviations(scalogram.scales, frame_length=length)
    from_centre = np.arange(3 * length) - (3 * length - 1) / 2
    h = np.exp(-0.5 * (from_centre / deviations[:, None]) ** 2)
    h /= h.sum(axis=1, keepdims=True)
    return [np.ascontiguousarray(each.reshape(-1, hop).T, dtype) for each in h]


def _pywt_rows(scalogram: Scalogram, wave: np.ndarray) -> np.ndarray:
    """The transform [scales, time]."""
    name = f"cmor2.0-{scalogram.omega0 / (2 * np.pi)}"
    rows, _ = pywt.cwt(wave, scalogram.scales, name, precision=PRECISION, method="fft")
    return rows


def _exact_rows(scalogram: Scalogram, wave: np.ndarray) -> Iterator[np.ndarray]:
    """The transform [time] at one scale after the other."""
    for scale in scalogram.scales:
        reach = int(np.ceil(9 * scale))  # where the wavelet has fallen to exp(-40)
        t = np.arange(-reach, reach + 1) / scale
        psi = np.exp(1j * scalogram.omega0 * t - t**2 / 2) / np.sqrt(2 * np.pi * scale)
        whole = scipy.signal.fftconvolve(wave, psi.conj()[::-1])
        yield whole[reach : reach + len(wave)]


def _image(image: Image, dtype) -> Pipeline:
    def step(values):
        if image.decibels:
            levels = 10 * np.log10(np.square(values) + dtype(image.floor))
            values = np.maximum(levels, levels.max() - dtype(image.range_db))
        extent = values.max() - values.min()
        shown = (values - values.min()) / (extent if extent > 0 else dtype(1))
        rows = _interpolation(len(shown), image.frames)
        columns = _interpolation(shown.shape[1], image.bins)
        return rows.astype(dtype) @ (shown @ columns.T.astype(dtype))

    return step


@functools.cache
def _interpolation(num_from: int, num_to: int) -> np.ndarray:
    """Bilinear weights [to, from]; the coarser side says how wide the triangles are."""
    ratio = num_from / num_to
    place = (np.arange(num_to) + 0.5) * ratio - 0.5
    distance = np.abs(place[:, None] - np.arange(num_from)) / max(ratio, 1.0)
    weights = np.maximum(1 - distance, 0.0)
    return weights / weights.sum(axis=1, keepdims=True)


_STEPS = {
    Magnitude: _magnitude,
    Chroma: _chroma,
    Tonnetz: _tonnetz,
    Scalogram: _scalogram,
    Image: _image,
}
