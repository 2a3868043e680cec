"""The representations again, as one would write them without this project.

Every constant is read from the representation, so that a rival computes what ours does.
The spectrum is the rival's own; from the power spectrum on, PyTorch and NumPy have the
same names for the same few operations, and share `_from_power`.

A rival is a function that gives, by name, the ways to do one pass over some clips: a
`Pass` each. It gives none where it does not compute the representation.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from advjax.representations import (
    LogMel,
    Magnitude,
    MelEnergies,
    Representation,
    Scalogram,
)
from advjax.runtime import parallel
from advjax.signal.fourier import WINDOWS
from advjax.signal.framing import num_frames
from advjax.signal.mel import mel_filterbank
from experiments.benchmarks.rivals import pytorch

Pass = Callable[[], tuple[Any, ...]]
"""Computes and waits: features [clips, frames, bins], and gradients [clips, time]."""

AT_ONCE = 8
"""Of 2, 4 and 8 clips, the fastest for PyTorch's features on one core of an AMD EPYC
with 512 kB of L2 cache: up to a fifth faster than 32."""


def torch_passes(
    representation: Representation, clips: np.ndarray, cotangent: np.ndarray | None
) -> dict[str, Pass]:
    """PyTorch: `torch.stft`, and frames with `torch.fft.rfft`.

    Each with all clips at once and with `AT_ONCE`, whose spectra stay in the cache; and
    each with one thread and with all: the threads wait for each other after every
    operation, which costs more than it gives for a few clips, or on a busy machine.

    Args:
        representation: the features to compute.
        clips: waveforms [clips, time].
        cotangent: weights of the sum whose gradient is computed too, [clips, frames,
            bins]; None for the features alone.
    """
    import torch

    finish = _from_power(representation, torch, pytorch.tensor)
    if finish is None:
        return {}
    wave = pytorch.tensor(clips)
    weights = None if cotangent is None else pytorch.tensor(cotangent)

    def features(spectrum, x):
        z = spectrum(x)
        return finish(z.real.square() + z.imag.square())

    def forward(spectrum, at_once):
        with torch.inference_mode():
            return (torch.cat([features(spectrum, x) for x in wave.split(at_once)]),)

    def gradient(spectrum, at_once):
        values, gradients = [], []
        for x, weight in zip(wave.split(at_once), weights.split(at_once), strict=True):
            x = x.detach().requires_grad_()
            y = features(spectrum, x)
            values.append(y.detach())
            gradients += torch.autograd.grad(y, x, weight)
        return torch.cat(values), torch.cat(gradients)

    def waiting(spectrum, at_once, threads):
        torch.set_num_threads(threads)
        arrays = (forward if weights is None else gradient)(spectrum, at_once)
        pytorch.wait()
        return arrays

    cores = parallel.num_cores()
    threads = {1, cores} if pytorch.device() == "cpu" else {cores}
    spectra = _torch_spectra(representation.stage("magnitude"))
    return {
        f"{name}, {at_once} at once, threads: {count}": functools.partial(
            waiting, spectrum, at_once, count
        )
        for name, spectrum in spectra.items()
        for at_once in sorted({len(clips), min(len(clips), AT_ONCE)})
        for count in sorted(threads)
    }


def torch_features(representation: Representation, stage: str) -> Callable:
    """PyTorch's way from examples at a stage to features [batch, 1, frames, bins].

    Examples are waveforms [batch, time], or features already.
    """
    if stage != "waveform":
        return lambda x: x
    import torch

    finish = _from_power(representation, torch, pytorch.tensor)
    spectrum = _torch_spectra(representation.stage("magnitude"))["PyTorch stft"]

    def features(x):
        z = spectrum(x)
        return finish(z.real.square() + z.imag.square()).unsqueeze(1)

    return features


def _torch_spectra(magnitude: Magnitude) -> dict[str, Callable]:
    """Ways from clips [clips, time] to spectra [clips, frames, bins], by name."""
    import torch

    pad = torch.nn.functional.pad
    length, hop, num_fft = magnitude.frame_length, magnitude.hop, magnitude.num_fft
    window = pytorch.tensor(WINDOWS[magnitude.window](length))
    # torch.stft would centre a shorter window in the transform; ours starts with it.
    long_window = pad(window, (0, num_fft - length))

    def emphasised(x, frame_length: int):
        tail = padding(magnitude, frame_length)
        return pad(x - magnitude.preemphasis * pad(x[:, :-1], (1, 0)), (0, tail))

    def stft(x):
        spectrum = torch.stft(
            emphasised(x, num_fft),
            num_fft,
            hop_length=hop,
            window=long_window,
            center=False,
            return_complex=True,
        )
        return spectrum.transpose(1, 2)

    def frames(x):
        framed = emphasised(x, length).unfold(1, length, hop)
        if magnitude.window != "rectangular":
            framed = framed * window
        return torch.fft.rfft(framed, num_fft)

    return {"PyTorch stft": stft, "PyTorch frames": frames}


def librosa_spectra(magnitude: Magnitude, dtype=np.float32) -> Callable:
    """librosa's pre-emphasis and transforms: [..., time] to [..., bins, frames]."""
    import librosa

    num_fft, tail = magnitude.num_fft, padding(magnitude, magnitude.num_fft)
    window = np.zeros(num_fft, dtype)
    window[: magnitude.frame_length] = WINDOWS[magnitude.window](magnitude.frame_length)

    def spectra(wave):
        if magnitude.preemphasis:
            before_first = np.zeros((*wave.shape[:-1], 1), dtype)
            wave = librosa.effects.preemphasis(
                wave, coef=magnitude.preemphasis, zi=before_first
            )
        padded = np.pad(wave, [(0, 0)] * (wave.ndim - 1) + [(0, tail)])
        return librosa.stft(
            padded, n_fft=num_fft, hop_length=magnitude.hop, window=window, center=False
        )

    return spectra


def librosa_passes(
    representation: Representation, clips: np.ndarray, cotangent: np.ndarray | None
) -> dict[str, Pass]:
    """librosa's pre-emphasis and transform, NumPy after; it has no gradients.

    Its own mel filters are not those of python_speech_features, which ours are.
    """
    finish = _from_power(representation, np, np.asarray)
    if finish is None or cotangent is not None:
        return {}
    spectra = librosa_spectra(representation.stage("magnitude"))

    def forward():
        spectrum = spectra(clips)
        power = np.square(spectrum.real) + np.square(spectrum.imag)
        return (finish(np.swapaxes(power, 1, 2)),)

    return {"librosa": forward}


def speech_features_passes(
    representation: Representation, clips: np.ndarray, cotangent: np.ndarray | None
) -> dict[str, Pass]:
    """python_speech_features, clip by clip in float64; it has no gradients."""
    from python_speech_features import base, sigproc

    finish = _from_energies(representation, np)
    if cotangent is not None or not (finish or isinstance(representation, Magnitude)):
        return {}
    magnitude = representation.stage("magnitude")
    window, rate_hz = WINDOWS[magnitude.window], magnitude.sample_rate_hz

    def spectrum(wave):
        wave = sigproc.preemphasis(wave, magnitude.preemphasis)
        frames = sigproc.framesig(wave, magnitude.frame_length, magnitude.hop, window)
        return sigproc.magspec(frames, magnitude.num_fft)

    def mel(wave):
        energies, _ = base.fbank(
            wave,
            rate_hz,
            winlen=magnitude.frame_length / rate_hz,
            winstep=magnitude.hop / rate_hz,
            nfilt=representation.num_bands,
            nfft=magnitude.num_fft,
            preemph=magnitude.preemphasis,
            winfunc=window,
        )
        return finish(energies)

    one = mel if finish else spectrum
    return {
        "python_speech_features": lambda: (np.stack([one(wave) for wave in clips]),)
    }


def padding(framed: Magnitude | Scalogram, length: int) -> int:
    """Zeros after a clip that fill the last frame, when frames have `length` samples.

    There are as many frames as ours, whatever the length.
    """
    count = num_frames(framed.num_samples, framed.frame_length, framed.hop)
    return (count - 1) * framed.hop + length - framed.num_samples


def _from_power(representation: Representation, xp, array) -> Callable | None:
    """From power spectra [..., bins] to features, in the module `xp`.

    None for a representation without a rival.
    """
    if isinstance(representation, Magnitude):
        return lambda power: xp.sqrt(power + representation.floor)
    finish = _from_energies(representation, xp)
    if finish is None:
        return None
    magnitude = representation.source
    filters = mel_filterbank(
        num_bands=representation.num_bands,
        num_fft=magnitude.num_fft,
        sample_rate_hz=magnitude.sample_rate_hz,
    )
    # The scale and the floor are linear: cheapest in the filters and behind them.
    scaled = filters / np.float32(magnitude.num_fft)
    bias = array(magnitude.floor * scaled.sum(axis=0))
    scaled = array(scaled)
    return lambda power: finish(power @ scaled + bias)


def _from_energies(representation: Representation, xp) -> Callable | None:
    """From mel energies [..., bands] to features, in the module `xp`."""

    def normalised(energies):
        centred = energies - energies.mean(-1, keepdims=True)
        variance = xp.square(centred).mean(-1, keepdims=True)
        return centred / xp.sqrt(variance + representation.floor)

    def logarithm(energies):
        return xp.log(energies + representation.floor)

    known = {MelEnergies: normalised, LogMel: logarithm}
    return known.get(type(representation))


RIVALS: Mapping[str, Callable[..., dict[str, Pass]]] = {
    "torch": torch_passes,
    "librosa": librosa_passes,
    "python_speech_features": speech_features_passes,
}
"""Rivals by the package that each needs."""
