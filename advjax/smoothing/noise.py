"""Noise laws: how to draw a noisy copy, and what a bound on the top vote certifies.

Noise is drawn in float32 and cast after it is added, whatever the type of the input:
drawn in bfloat16, normal noise has 128 distinct values and never exceeds 2.89.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy import special

from advjax.types import Features, Key

Sample = Callable[[Key, Features], Features]


class Noise(NamedTuple):
    """A smoothing law: how to draw it, and what a bound on the top vote certifies.

    Attributes:
        sample: key and one example to one noisy copy of it, same shape and type. A
            `jax.tree_util.Partial` over its scale keeps one compiled program for all.
        radius: lower bound on the probability of the top vote to certified radius, in
            units of the example; 0 at or below one half. None: no certificate is known.
        norm: what radius measures: "l2" or "l1" of a perturbation, "ellipsoid" of
            `coloured`, "gain" in nepers; "none" where there is no radius.
    """

    sample: Sample
    radius: Callable[[float], float] | None
    norm: str


AnyNoise = Any
"""A caller's argument for a `Noise`; checked in words, not by annotation."""


def check_noise(noise: AnyNoise) -> None:
    """Refuse what is no noise law.

    Raises:
        ValueError: another type, such as a bare standard deviation.
    """
    if not isinstance(noise, Noise):
        raise ValueError(
            f"noise={noise!r} is no noise law: give one, as smoothing.gaussian(0.25)."
        )


def gaussian(sigma: float) -> Noise:
    """Independent normal noise of deviation `sigma`, certifying an l2 radius.

    Args:
        sigma: standard deviation of every entry, in units of the example.

    Returns:
        A law with radius `sigma * PhiInv(p)`.

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


def uniform(half_width: float) -> Noise:
    """Independent uniform noise on [-half_width, half_width], certifying an l1 radius.

    Args:
        half_width: largest absolute value of the noise, in units of the example.

    Returns:
        A law with radius `half_width * (2 p - 1)`.

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


def _add_normal(scale: Float[Array | np.ndarray, ""], key: Key, x: Features):
    return add_wide(x, scale * jax.random.normal(key, x.shape, jnp.float32))


def _add_uniform(scale: Float[Array | np.ndarray, ""], key: Key, x: Features):
    noise = jax.random.uniform(key, x.shape, jnp.float32, minval=-1.0, maxval=1.0)
    return add_wide(x, scale * noise)


def add_wide(x: Features, noise: Features) -> Features:
    """The sum in float32, or float64 for such an example, cast to the type of `x`."""
    # Not promote_types, which strict dtype promotion refuses for bfloat16.
    wide = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
    return (x.astype(wide) + noise.astype(wide)).astype(x.dtype)


def gaussian_radius(sigma: float, p_lower: float) -> float:
    """`sigma * PhiInv(p_lower)`, in units of sigma; 0 at or below one half."""
    return sigma * float(special.ndtri(p_lower)) if p_lower > 0.5 else 0.0


def uniform_radius(half_width: float, p_lower: float) -> float:
    """`half_width * (2 p_lower - 1)`, in units of the half width; 0 up to one half."""
    return half_width * (2.0 * p_lower - 1.0) if p_lower > 0.5 else 0.0


def scale_array(name: str, value: float) -> np.ndarray:
    """The value as a float32 array, so that jit traces it instead of baking it in.

    Raises:
        ValueError: the value is not positive and finite in float32.
    """
    smallest = float(np.finfo(np.float32).tiny)
    largest = float(np.finfo(np.float32).max)
    # The negated form also refuses NaN.
    if not (math.isfinite(value) and smallest <= value <= largest):
        raise ValueError(
            f"{name}={value} is no scale of noise: give a positive finite number, "
            "in the units of the input."
        )
    return np.asarray(value, np.float32)
