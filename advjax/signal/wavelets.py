"""Morlet scalograms of a signal, averaged over frames.

Convention: the complex Morlet wavelet

    psi(t) = (2 pi)^(-1/2) exp(i omega0 t) exp(-t^2 / 2),

PyWavelets' `cmorB-C` with B = 2 and C = omega0 / (2 pi). The continuous transform of a
signal that is zero outside its samples,

    W(s, t) = s^(-1/2) sum_n x[n] conj(psi((n - t) / s)),

its scale s is in samples. It responds most to a tone of omega0 / (2 pi s) cycles a
sample. Frames are those of `framing.frame`, F samples long.

A frame holds a mean of |W(s, t)|^2 over t, with Gaussian weights. The wavelet is itself
a Gaussian with standard deviation s, so a frame sees the signal through both Gaussians.
The weights compensate the wavelet: with standard deviation sqrt((D^2 - s^2) / 2) a
frame sees the same stretch of the signal at every scale, through exp(-u^2 / D^2), u
samples from its centre. D = F / (4 sqrt(ln 2)) makes that stretch F / 2 wide at half
its height, like a Hann window of F samples. Frames that overlap by half therefore cover
all samples alike.

Computation: for two samples n and k, conj(psi((n - t) / s)) psi((k - t) / s) is a
Gaussian in t. Its mean over Gaussian weights is a Gaussian in (n + k) / 2 times one
in n - k, and only the latter depends on s. With y the signal times exp(-u^2 / (2
D^2)), a frame's mean at scale s is therefore

    1 / (2 pi D)  sum_{n, k} y[n] y[k] cos(omega0 (n - k) / s) g_s(n - k),
    g_s(d) = exp(-(s^-2 - D^-2) d^2 / 4):

a weighted sum of the autocorrelation of y, hence of its power spectrum. One transform a
frame and one matrix product give all scales, without computing W. The window is cut at
u = 1.5 F = 5 D, where it has fallen to 4e-6; there is no other approximation.

Source: that a scalogram and a spectrogram are smoothings of one and the same
distribution, Rioul and Flandrin 1992, "Time-scale energy distributions: a general class
extending wavelet transforms", IEEE Trans. Signal Processing 40(7). The sums above are
derived here.
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.signal.framing import frame


def frame_deviation(frame_length: int) -> float:
    """D of the module's formulas, in samples: the largest scale that fits a frame."""
    return frame_length / (4 * math.sqrt(math.log(2)))


def morlet_scales(
    frequencies_hz: Float[np.ndarray, "bins"], *, omega0: float, sample_rate_hz: int
) -> Float[np.ndarray, "bins"]:
    """Scales, in samples, of wavelets centred at these frequencies."""
    return omega0 * sample_rate_hz / (2 * np.pi * frequencies_hz)


def pooling_deviations(
    scales: Float[np.ndarray, "bins"], *, frame_length: int
) -> Float[np.ndarray, "bins"]:
    """Standard deviation, in samples, of the weights over time at each scale.

    Raises:
        ValueError: a wavelet is longer than a frame.
    """
    longest = frame_deviation(frame_length)
    if scales.max() > longest:
        raise ValueError(
            f"a wavelet of scale {scales.max():.0f} samples outgrows a frame of "
            f"{frame_length}: raise min_hz, or make frame_length at least "
            f"{math.ceil(scales.max() * 4 * math.sqrt(math.log(2)))}"
        )
    return np.sqrt((longest**2 - scales**2) / 2)


def morlet_weights(
    scales: Float[np.ndarray, "bins"], *, omega0: float, frame_length: int
) -> Float[np.ndarray, "coefficients bins"]:
    """Weights, float32, of a frame's power spectrum in its mean |W|^2 at each scale.

    The power spectrum is the one-sided one of `scalogram_power`. It has twice the
    length of its window, so that no lag of the autocorrelation wraps around.

    Raises:
        ValueError: a wavelet is longer than a frame.
    """
    pooling_deviations(scales, frame_length=frame_length)  # refuses long wavelets
    longest = frame_deviation(frame_length)
    num_fft = _num_fft(frame_length)
    # Lags in the order of the transform: 0, 1, ..., -2, -1.
    lags = np.minimum(np.arange(num_fft), num_fft - np.arange(num_fft))[:, None]
    narrowing = (scales**-2 - longest**-2)[None, :]
    by_lag = np.cos(omega0 * lags / scales[None, :]) * np.exp(-narrowing * lags**2 / 4)
    weights = np.fft.rfft(by_lag, axis=0).real / num_fft / (2 * np.pi * longest)
    # The one-sided spectrum stands for its mirror image too. The coefficients at 0 and,
    # for an even length, at the Nyquist frequency have no mirror image.
    weights[1 : (num_fft + 1) // 2] *= 2
    return weights.astype(np.float32)


def scalogram_power(
    x: Float[Array, "time"],
    *,
    weights: Float[np.ndarray, "coefficients bins"],
    frame_length: int,
    hop: int,
) -> Float[Array, "frames bins"]:
    """Mean |W|^2 of each frame at each scale, not negative.

    Args:
        x: a signal.
        weights: from `morlet_weights` for this `frame_length`.
        frame_length: samples in a frame.
        hop: samples between the starts of frames.
    """
    # The window extends one frame to either side of its own.
    frames = frame(jnp.pad(x, frame_length), length=3 * frame_length, hop=hop)
    from_centre = np.arange(3 * frame_length) - (3 * frame_length - 1) / 2
    window = np.exp(-((from_centre / frame_deviation(frame_length)) ** 2) / 2)
    spectrum = jnp.fft.rfft(
        frames * window.astype(np.float32)[None, :], _num_fft(frame_length)
    )
    power = jnp.square(spectrum.real) + jnp.square(spectrum.imag)
    # Full float32 on every backend: lower precision would be another front end.
    # Rounding may leave values just below zero where the power is zero.
    return jnp.maximum(jnp.dot(power, weights, precision="highest"), 0.0)


def _num_fft(frame_length: int) -> int:
    # The import takes half a second, and most programs need no scalogram.
    import scipy.fft

    return scipy.fft.next_fast_len(6 * frame_length, real=True)
