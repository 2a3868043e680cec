"""Independent normal noise, for an l2 radius."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from advjax.reprs import keep_call
from advjax.smoothing.noises.base import Noise, add_wide, scale_array
from advjax.types import Features, Key


@keep_call
def gaussian(sigma: float) -> Noise:
    """Independent normal noise, for an l2 radius.

    Args:
        sigma: standard deviation of every entry, in units of the example.

    Returns:
        Noise with radius `sigma * PhiInv(p)`.

    Raises:
        ValueError: sigma is not positive and finite in float32.

    Source: Cohen et al. 2019, arXiv:1902.02918, theorem 1 with pB = 1 - pA.
    """
    scale = scale_array("sigma", sigma)
    return Noise(
        jax.tree_util.Partial(_add_normal, scale),
        functools.partial(gaussian_radius, float(sigma)),
        "l2",
    )


def gaussian_radius(sigma: float, p_lower: float) -> float:
    """`sigma * PhiInv(p_lower)`, in units of sigma; 0 at or below one half."""
    return sigma * float(special.ndtri(p_lower)) if p_lower > 0.5 else 0.0


def _add_normal(scale: Float[Array | np.ndarray, ""], key: Key, x: Features):
    return add_wide(x, scale * jax.random.normal(key, x.shape, jnp.float32))
