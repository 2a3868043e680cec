"""Random gain, for certificates against louder and quieter playback of a clip.

The copy is x exp(sigma g) with one normal g for the whole clip. Gains multiply, so
their logarithms add. On the line of all scaled copies of a clip, the smoothed
classifier is a function of the log-gain smoothed by normal noise, and Cohen's theorem
holds in that one dimension. Copies are not clipped: they may pass full scale.

Log-gains are in nepers, ln of a ratio of amplitudes; one neper is `DB_PER_NEPER`.

Source: Li et al. 2021 (TSS), arXiv:2002.12398, smoothing over transformations. The
radius in nepers is derived here.
"""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.reprs import keep_call
from advjax.smoothing.noises.base import Noise, scale_array
from advjax.smoothing.noises.gaussian import gaussian_radius
from advjax.types import Features, Key

DB_PER_NEPER = 20 / math.log(10)
"""8.686 dB."""


@keep_call
def gain(sigma: float) -> Noise:
    """Log-normal gain of a clip, for an interval of gains around 1.

    Args:
        sigma: standard deviation of the log-gain in nepers; 0.345 is 3 dB.

    Returns:
        Noise with radius `sigma * PhiInv(p)` in nepers: every c x with |ln c| below it
        is certified. Times `DB_PER_NEPER` it is the change of level in dB.

    Raises:
        ValueError: sigma is not positive and finite in float32.
    """
    scale = scale_array("sigma", sigma)
    return Noise(
        jax.tree_util.Partial(_times_gain, scale),
        functools.partial(gaussian_radius, float(sigma)),
        "gain",
    )


def _times_gain(scale: Float[Array | np.ndarray, ""], key: Key, x: Features):
    factor = jnp.exp(scale * jax.random.normal(key, (), jnp.float32))
    wide = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
    return (x.astype(wide) * factor.astype(wide)).astype(x.dtype)
