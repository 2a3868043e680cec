"""Independent uniform noise, for an l1 radius."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from advjax.reprs import keep_call
from advjax.smoothing.noises.base import Noise, add_wide, scale_array
from advjax.types import Features, Key


@keep_call
def uniform(half_width: float) -> Noise:
    """Independent uniform noise on [-half_width, half_width], for an l1 radius.

    Args:
        half_width: largest absolute value of the noise, in units of the example.

    Returns:
        Noise with radius `half_width * (2 p - 1)`.

    Raises:
        ValueError: half_width is not positive and finite in float32.

    Source: Yang et al. 2020, arXiv:2002.08118, table 1 (uniform noise, l1).
    """
    scale = scale_array("half_width", half_width)
    return Noise(
        jax.tree_util.Partial(_add_uniform, scale),
        functools.partial(uniform_radius, float(half_width)),
        "l1",
    )


def uniform_radius(half_width: float, p_lower: float) -> float:
    """`half_width * (2 p_lower - 1)` in the units of half_width; 0 up to one half."""
    return half_width * (2.0 * p_lower - 1.0) if p_lower > 0.5 else 0.0


def _add_uniform(scale: Float[Array | np.ndarray, ""], key: Key, x: Features):
    noise = jax.random.uniform(key, x.shape, jnp.float32, minval=-1.0, maxval=1.0)
    return add_wide(x, scale * noise)
