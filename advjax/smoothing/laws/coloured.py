"""Gaussian noise of a fixed spectrum, which certifies an ellipsoid instead of a ball.

The noise is sigma A z: white normal z, and a circulant A that multiplies bin k of the
clip's one-sided Fourier transform by gain k. A is symmetric and invertible, so that a
classifier of x smoothed by it is one of A^-1 x smoothed by white noise. What that one's
l2 radius certifies is every perturbation delta with |A^-1 delta|_2 below it: where the
noise is loud, a perturbation may be loud too.

Gains are without unit. Their mean square over all bins of both signs is 1, so the noise
has the mean power sigma^2 of white noise, in units of the clip's. The named curves put
most of it below 50 Hz, where hearing is dullest: in 1.6 s at 16 kHz the gain at 1 kHz
is -25 dB by the A-weighting and -54 dB by the threshold in quiet.

Source: Eiras et al. 2022, arXiv:2107.04570, anisotropic certificates for a general
covariance. That the covariance is circulant is our choice: exact, and two transforms.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.signal.masking import threshold_in_quiet_db
from advjax.smoothing.laws.base import Noise, add_wide, scale_array
from advjax.smoothing.laws.gaussian import gaussian_radius
from advjax.types import Key, Wave

Gains = Float[Array | np.ndarray, "bins"]

LOWEST_HZ = 20.0
"""Hearing begins here; the curves rise without bound below, and are held."""
FLOOR_DB = -100.0
"""No gain lies further below the greatest: A must have an inverse, and float32
transforms round at -144 dB of the loudest bins."""


def a_weighting_db(frequency_hz):
    """The A-weighting in dB, 0 at 1 kHz; minus infinity at 0 Hz.

    Source: IEC 61672-1 as secondary sources print it: poles at 20.6, 107.7, 737.9 and
    12194 Hz, and 2.00 dB. The standard itself was not at hand.
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


def coloured(
    sigma: float,
    *,
    num_samples: int,
    curve: str | Gains = "a_weighting",
    sample_rate_hz: int = 16_000,
) -> Noise:
    """Normal noise with the spectrum of `curve`, certifying an ellipsoid.

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
            f"{gains.size} gains for clips of {num_samples} samples: give one for each "
            f"of their {num_bins} frequencies."
        )
    if not (np.isfinite(gains).all() and gains.min() >= 0 and gains.max() > 0):
        raise ValueError("gains must be finite, not negative and not all zero.")
    gains = np.maximum(gains, gains.max() * 10 ** (FLOOR_DB / 20))
    # Bins that stand for a negative frequency too count twice.
    both = np.full(num_bins, 2.0)
    both[0] = 1.0
    if num_samples % 2 == 0:
        both[-1] = 1.0
    return (gains / np.sqrt(both @ gains**2 / num_samples)).astype(np.float32)


def mean_spectrum(waves: Float[np.ndarray, "clips time"]) -> Gains:
    """The mean magnitude of each frequency over clips: a curve for `coloured`."""
    return np.abs(np.fft.rfft(waves, axis=1)).mean(axis=0)


def gains_of(noise: Noise) -> Gains | None:
    """The gains that `coloured` built the law with; None for any other law."""
    sample = noise.sample
    if getattr(sample, "func", None) is not _add_coloured:
        return None
    _, gains = sample.args
    return gains


def ellipsoid_norm(delta: Wave, gains: Gains) -> Float[Array, ""]:
    """The norm |A^-1 delta|_2 in units of the clip, to be held against the radius.

    Args:
        delta: what is added to the clip.
        gains: of `spectral_gains`.
    """
    return jnp.linalg.norm(_filtered(delta, 1 / gains))


def tone_radius_db(radius: float, gains: Gains) -> Gains:
    """The certified l2 norm in dB re 1 of a perturbation at one frequency alone.

    Such a perturbation's `ellipsoid_norm` is its l2 norm over its frequency's gain, so
    that the radius counts for `radius * gain`. The difference to white noise of equal
    power at equal votes is the gain in dB.

    Args:
        radius: of a certificate, positive.
        gains: of `spectral_gains`.
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
            f"a clip of {x.shape[0]} samples for noise of {gains.shape[0]} "
            f"frequencies: build the law with num_samples={x.shape[0]}."
        )
    white = jax.random.normal(key, x.shape, jnp.float32)
    return add_wide(x, scale * _filtered(white, gains))


def _filtered(wave: Wave, gains: Gains) -> Wave:
    spectrum = jnp.fft.rfft(wave)
    return jnp.fft.irfft(spectrum * gains.astype(spectrum.dtype), wave.shape[0])
