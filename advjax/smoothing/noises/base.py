"""The contract of a noise distribution, and shared parts.

Noise is drawn in float32 and cast after it is added, whatever the type of the input:
drawn in bfloat16, normal noise has 128 distinct values and never exceeds 2.89.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from advjax.reprs import call_or_fields
from advjax.types import Features, Key

Sample = Callable[[Key, Features], Features]


class Noise(NamedTuple):
    """A noise distribution and the radius that a bound on the top vote certifies.

    Attributes:
        sample: key and one example to one noisy copy of it, same shape and type. A
            `jax.tree_util.Partial` over its scale keeps one compiled program for all.
        radius: lower bound on the probability of the top vote to certified radius, in
            units of the example; 0 at or below one half. None: no certificate is known.
        norm: the measure of the radius: "l2" or "l1" of a perturbation, "ellipsoid" of
            `coloured`, "gain" in nepers; "none" where there is no radius.
        call: the call that made the noise, shown as its `repr`; see `keep_call`.
    """

    sample: Sample
    radius: Callable[[float], float] | None
    norm: str
    call: str = ""

    __repr__ = call_or_fields


AnyNoise = Any
"""An argument for a `Noise`, which `check_noise` checks."""


def check_noise(noise: AnyNoise) -> None:
    """Refuse any other type than `Noise`, such as a bare standard deviation.

    Raises:
        ValueError: it is of another type.
    """
    if not isinstance(noise, Noise):
        raise ValueError(
            f"noise={noise!r} is no noise distribution: give one, such as "
            "smoothing.gaussian(0.25)."
        )


def add_wide(x: Features, noise: Features) -> Features:
    """The sum in float32, in float64 for float64 examples, in the type of `x`."""
    # Not promote_types, which strict dtype promotion refuses for bfloat16.
    wide = jnp.float64 if x.dtype == jnp.float64 else jnp.float32
    return (x.astype(wide) + noise.astype(wide)).astype(x.dtype)


def scale_array(name: str, value: float) -> np.ndarray:
    """The value as a float32 array, which jit traces instead of compiling it in.

    Raises:
        ValueError: the value is not positive and finite in float32.
    """
    smallest = float(np.finfo(np.float32).tiny)
    largest = float(np.finfo(np.float32).max)
    # The negated form also refuses NaN.
    if not (math.isfinite(value) and smallest <= value <= largest):
        raise ValueError(
            f"{name}={value} is no scale of noise: give a positive finite number in "
            "the units of the input."
        )
    return np.asarray(value, np.float32)
