"""Noise in proportion to the masking threshold of a clip, without a certificate.

Every frame and frequency gets a normal magnitude around three times the threshold of
masking there, with the clip's phase; overlapping frames are added up to a wave. The
noise depends on the clip, so that the theorems for a fixed distribution do not apply.

Source: Mendes and Hogan 2020, "Defending against imperceptible audio adversarial
examples using proportional additive Gaussian noise", and the authors' code
(ethanm88/cleverhans, branch `clean-testing`).
Differs: overlapping frames are divided by the windows' sum where all frames are there,
1.5, instead of each sample's own sum, which vanishes with the window: the first and the
last 1536 samples fade in and out where the division would let them explode.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.reprs import keep_call
from advjax.signal.fourier import WINDOWS, stft
from advjax.signal.masking import (
    FRAME_LENGTH,
    FULL_SCALE,
    HOP,
    PEAK_DB,
    masking_threshold,
)
from advjax.smoothing.noises.base import Noise, Sample, add_wide, scale_array
from advjax.types import Key, Wave

CLEAN_TESTING = 3 / 8
"""The factor from a threshold to a magnitude: it undoes the 8/3 of a perturbation. The
authors' earlier branch `testing` has its root."""
_SQUARED_WINDOWS = 1.5


@keep_call
def masked(
    factor: float = 1.0, *, scale: float = CLEAN_TESTING, sample_rate_hz: int = 16_000
) -> Noise:
    """Noise whose magnitudes follow the clip's masking threshold; no certificate.

    Magnitudes have mean 3 T and standard deviation T, where T is factor * scale times
    the magnitude of the threshold; those below zero are zero.

    Args:
        factor: scale of the whole noise; 10^factor in the authors' code, which sweeps
            it.
        scale: scale of the threshold; 3/8, or its root for the authors' earlier branch.
        sample_rate_hz: samples a second of the clips.

    Raises:
        ValueError: factor or scale is not positive and finite in float32.
    """
    scale_array("scale", scale)
    level = scale_array("factor", factor * scale)
    return Noise(jax.tree_util.Partial(_sample(sample_rate_hz), level), None, "none")


@functools.cache
def _sample(sample_rate_hz: int) -> Sample:
    # Cached, so that jit compiles one program for each rate.
    def add_masked(level: Float[Array | np.ndarray, ""], key: Key, x: Wave):
        wave = x.astype(jnp.float32)
        threshold = masking_threshold(wave, sample_rate_hz=sample_rate_hz)
        unit = threshold.peak / 10 ** (PEAK_DB / 10)
        least = level * FRAME_LENGTH * jnp.sqrt(threshold.power * unit)
        normal = jax.random.normal(key, least.shape, jnp.float32)
        magnitude = least * jnp.maximum(0.0, 3.0 + normal)
        spectrum = stft(
            wave * FULL_SCALE,
            length=FRAME_LENGTH,
            hop=HOP,
            num_fft=FRAME_LENGTH,
            window="hann",
        )
        noise = _wave(jax.lax.complex(magnitude, 0 * magnitude) * _phase(spectrum))
        return add_wide(x, noise[: x.shape[0]] / FULL_SCALE)

    return add_masked


def _phase(spectrum):
    """Each entry divided by its magnitude; 1 where that is zero."""
    angle = jnp.angle(spectrum)
    return jax.lax.complex(jnp.cos(angle), jnp.sin(angle))


def _wave(spectrum) -> Wave:
    """The frames of a spectrum, windowed once more and added where they overlap."""
    window = WINDOWS["hann"](FRAME_LENGTH)
    frames = jnp.fft.irfft(spectrum, FRAME_LENGTH) * (window / _SQUARED_WINDOWS)[None]
    num_parts = FRAME_LENGTH // HOP
    parts = frames.reshape(len(frames), num_parts, HOP)
    return sum(
        jnp.pad(parts[:, k], ((k, num_parts - 1 - k), (0, 0))) for k in range(num_parts)
    ).reshape(-1)
