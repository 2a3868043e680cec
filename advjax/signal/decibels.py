"""Logarithms and roots that stay differentiable at silence.

The floor is added inside the logarithm or root. Outside, the gradient at exactly zero
would be NaN, and digital silence is a normal input.
"""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float


def safe_sqrt(power: Float[Array, "*shape"], floor: float) -> Float[Array, "*shape"]:
    """`sqrt(power + floor)`."""
    return jnp.sqrt(power + floor)


def safe_log(power: Float[Array, "*shape"], floor: float) -> Float[Array, "*shape"]:
    """`log(power + floor)`, natural."""
    return jnp.log(power + floor)


def level_db(amplitude: Float[Array, "*shape"], floor: float) -> Float[Array, "*shape"]:
    """`10 log10(amplitude^2 + floor)`: decibels above an amplitude of 1."""
    return 10 / math.log(10) * safe_log(jnp.square(amplitude), floor)
