"""Starts of attacks beside digital silence."""

import jax
import jax.numpy as jnp

from advjax.padding import own
from advjax.types import Bounds, Features, Key, LogitsFn

STEP_16_BITS = 2.0**-15
"""The step of a file of 16 bits, for samples in [-1, 1]."""


def beside_silence(
    logits_fn: LogitsFn, x: Features, key: Key, *, size: float, bounds: Bounds
) -> Features:
    """The example with uniform noise in place of its entries that are exactly zero.

    Levels in decibels have no usable gradient in digital silence: it is zero at a
    floor, and otherwise that of a logarithm near zero, which holds for changes far
    below the step of any file. Padding stays zero.

    Args:
        logits_fn: of the example, whose padding it knows.
        x: the example.
        key: of the noise.
        size: its largest value; 0 returns `x`.
        bounds: least and greatest value of an entry.
    """
    if not size:
        return x
    drawn = jax.random.uniform(key, x.shape, x.dtype, minval=-size, maxval=size)
    drawn = jnp.clip(own(logits_fn).keep(drawn), *bounds)
    return jnp.where(x == 0, drawn, x)


def check_dither(size: float) -> None:
    """Refuse a negative size.

    Raises:
        ValueError: the size is negative or not finite.
    """
    if not 0 <= size < float("inf"):
        raise ValueError(f"dither={size}: give 0 or more, in units of the example")
