"""Gaussian noise of a fixed spectrum, for an ellipsoid instead of a ball.

The noise is sigma A z: white normal z, and a circulant A that multiplies bin k of the
clip's one-sided Fourier transform by gain k. A is symmetric and invertible, so that a
classifier of x smoothed by this noise is a classifier of A^-1 x smoothed by white
noise. The l2 radius of the latter certifies every perturbation delta whose norm
|A^-1 delta|_2 is below it: where the noise is loud, a perturbation may be loud too.

Gains have no unit. Their mean square over all bins of both signs is 1, so the noise has
the mean power sigma^2 of white noise, in the units of the clip. The named curves put
most of it below 50 Hz, where hearing is dullest: in 1.6 s at 16 kHz the gain at 1 kHz
is -25 dB by the A-weighting and -54 dB by the threshold in quiet.

Source: Eiras et al. 2022, arXiv:2107.04570, anisotropic certificates for a general
covariance. The circulant covariance is our choice: it is exact and costs two
transforms.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.reprs import keep_call
from advjax.signal.masking import threshold_in_quiet_db
from advjax.smoothing.noises.base import Noise, add_wide, scale_array
from advjax.smoothing.noises.gaussian import gaussian_radius
from advjax.types import Key, Wave

Gains = Float[Array | np.ndarray, "bins"]

LOWEST_HZ = 20.0
"""The lower end of hearing. The curves rise without bound below, and are held."""
FLOOR_DB = -100.0
"""The lowest gain relative to the greatest. A needs an inverse, and float32 transforms
round at -144 dB of the loudest bins."""


def a_weighting_db(frequency_hz):
    """The A-weighting in dB, 0 at 1 kHz; minus infinity at 0 Hz.

    Source: IEC 61672-1 as secondary sources print it: poles at 20.6, 107.7, 737.9 and
    12194 Hz, and 2.00 dB. It was not compared with the standard itself.
    """
    square = np.square(np.asarray(frequency_hz, np.float64))
    poles = (square + 20.6**2) * (square + 12194.0**2)
    poles *= np.sqrt((square + 107.7**2) * (square + 737.9**2))
    with np.errstate(divide="ignore"):
        return 20 * np.log10(12194.0**2 * square**2 / poles) + 2.00


CURVES: dict[str, Callable[..., Gains]] = {
    "a_weighting": lambda frequency_hz: -a_weighting_db(frequency_hz),
    "threshold_in_quiet": threshold_in_quiet_db,
}
"""Relative levels of noise in dB by frequency in Hz: loud where hearing is dull."""


@keep_call
def coloured(
    sigma: float,
    *,
    num_samples: int,
    curve: str | Gains = "a_weighting",
    sample_rate_hz: int = 16_000,
) -> Noise:
    """Normal noise with the spectrum of `curve`, for an ellipsoid.

    Args:
        sigma: root mean square of the noise, in units of the clip.
        num_samples: samples of every clip.
        curve: a name in `CURVES`, or one gain for each of the num_samples // 2 + 1
            frequencies of a clip, as of `mean_spectrum`; see `spectral_gains`.
        sample_rate_hz: samples a second, for the named curves.

    Returns:
        Noise with radius `sigma * PhiInv(p)`: perturbations whose `ellipsoid_norm` is
        below it are certified.

    Raises:
        ValueError: sigma is not positive and finite in float32, or no such curve.
    """
    scale = scale_array("sigma", sigma)
    gains = spectral_gains(
        curve, num_samples=num_samples, sample_rate_hz=sample_rate_hz
    )
    return Noise(
        jax.tree_util.Partial(_add_coloured, scale, gains),
        functools.partial(gaussian_radius, float(sigma)),
        "ellipsoid",
    )


def spectral_gains(
    curve: str | Gains, *, num_samples: int, sample_rate_hz: int
) -> Gains:
    """The gain of each frequency of a clip, float32, positive, of mean square 1.

    Named curves are held at their value at 20 Hz below it. Gains more than 100 dB below
    the greatest are raised to there.

    Args:
        curve: a name in `CURVES`, or num_samples // 2 + 1 gains of any scale.
        num_samples: samples of every clip.
        sample_rate_hz: samples a second, for the named curves.

    Raises:
        ValueError: an unknown name, or gains that are negative, not finite, all zero or
            of another number.
    """
    if not 1 <= num_samples < 2**31 or not 1 <= sample_rate_hz < 2**31:
        raise ValueError(
            f"num_samples={num_samples} and sample_rate_hz={sample_rate_hz}: give at "
            "least 1 of each, and less than 2^31"
        )
    num_bins = num_samples // 2 + 1
    if isinstance(curve, str):
        if curve not in CURVES:
            raise ValueError(f"unknown curve {curve!r}; there are: {', '.join(CURVES)}")
        frequency_hz = np.fft.rfftfreq(num_samples, 1 / sample_rate_hz)
        gains = 10 ** (CURVES[curve](np.maximum(frequency_hz, LOWEST_HZ)) / 20)
    else:
        gains = np.asarray(curve, np.float64)
    if gains.shape != (num_bins,):
        raise ValueError(
            f"curve has {gains.size} gains, clips of {num_samples} samples have "
            f"{num_bins} frequencies: give one gain for each."
        )
    if not (np.isfinite(gains).all() and gains.min() >= 0 and gains.max() > 0):
        raise ValueError("curve must be finite, not negative and not zero everywhere.")
    gains = np.maximum(gains, gains.max() * 10 ** (FLOOR_DB / 20))
    # Bins that stand for a negative frequency too count twice.
    both = np.full(num_bins, 2.0)
    both[0] = 1.0
    if num_samples % 2 == 0:
        both[-1] = 1.0
    return (gains / np.sqrt(both @ gains**2 / num_samples)).astype(np.float32)


def mean_spectrum(waves: Float[np.ndarray, "clips time"]) -> Gains:
    """The mean magnitude of each frequency over clips, as a curve for `coloured`."""
    return np.abs(np.fft.rfft(waves, axis=1)).mean(axis=0)


def gains_of(noise: Noise) -> Gains | None:
    """The gains of noise that `coloured` made; None for any other noise."""
    sample = noise.sample
    if getattr(sample, "func", None) is not _add_coloured:
        return None
    _, gains = sample.args
    return gains


def ellipsoid_norm(delta: Wave, gains: Gains) -> Float[Array, ""]:
    """The norm |A^-1 delta|_2 in units of the clip, to compare with the radius.

    Args:
        delta: the perturbation of the clip.
        gains: those of `gains_of` the noise.
    """
    return jnp.linalg.norm(_filtered(delta, 1 / gains))


def tone_radius_db(radius: float, gains: Gains) -> Gains:
    """The certified l2 norm in dB re 1 of a perturbation at one frequency alone.

    The `ellipsoid_norm` of such a perturbation is its l2 norm divided by the gain of
    its frequency, so that it is certified up to an l2 norm of `radius * gain`. The
    difference to white noise of equal power at equal votes is the gain in dB.

    Args:
        radius: of a certificate, positive.
        gains: those of `gains_of` the noise.
    """
    return 20 * np.log10(radius * np.asarray(gains, np.float64))


def _add_coloured(
    scale: Float[Array | np.ndarray, ""],
    gains: Gains,
    key: Key,
    x: Wave,
):
    if x.shape[0] // 2 + 1 != gains.shape[0]:
        raise ValueError(
            f"the noise has {gains.shape[0]} frequencies and the clip "
            f"{x.shape[0]} samples: make the noise with num_samples={x.shape[0]}."
        )
    white = jax.random.normal(key, x.shape, jnp.float32)
    return add_wide(x, scale * _filtered(white, gains))


def _filtered(wave: Wave, gains: Gains) -> Wave:
    spectrum = jnp.fft.rfft(wave)
    return jnp.fft.irfft(spectrum * gains.astype(spectrum.dtype), wave.shape[0])
