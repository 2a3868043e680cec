"""Distances of an adversarial example from its original.

Every function takes one pair `(x, x_adv)` at any stage of the chain and returns a
float32 scalar in the units of x. None is meant as a loss: the gradient of a norm at
zero distance is not defined. Norms of a waveform depend on its sampling rate:
resampling by k multiplies the l2 norm by about sqrt(k).
"""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def linf(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, ""]:
    """The largest change of any entry."""
    return jnp.max(jnp.abs(_delta(x, x_adv)))


def l2(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, ""]:
    """The Euclidean norm of the change."""
    return _norm(_delta(x, x_adv))


def l0(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, ""]:
    """The number of entries that changed at all."""
    return jnp.sum(x != x_adv, dtype=jnp.int32).astype(jnp.float32)


def relative_norm(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, ""]:
    """The l2 norm of the change over that of x; 0 for no change."""
    change = _norm(_delta(x, x_adv))
    return jnp.where(change == 0, 0.0, change / _norm(x.astype(jnp.float32)))


def snr_db(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, ""]:
    """The signal-to-noise ratio in dB, the change being the noise.

    It is 20 log10(norm(x) / norm(x_adv - x)): inf for no change, even of silence, and
    -inf for any change of silence.
    """
    return -20.0 * jnp.log10(relative_norm(x, x_adv))


def radius_snr_db(
    x: Float[Array, "*features"] | Float[np.ndarray, "*features"], radius: float
) -> float:
    """The SNR in dB of the largest perturbation inside an l2 radius around x.

    Computed on the host in float64, as 20 log10(norm(x) / radius).

    Args:
        x: one example, at the stage where the radius holds.
        radius: certified l2 radius in the units of x.

    Returns:
        dB; inf where the radius is 0 (no perturbation is covered) and -inf where x is
        silence but the radius is not 0.

    Raises:
        ValueError: the radius is negative or NaN.
    """
    if not radius >= 0:
        raise ValueError(f"a certified radius is never negative or NaN; got {radius}")
    if radius == 0:
        return math.inf
    norm = float(np.linalg.norm(np.asarray(x, dtype=np.float64).ravel()))
    return 20 * math.log10(norm / radius) if norm > 0 else -math.inf


def _delta(
    x: Float[Array, "*features"], x_adv: Float[Array, "*features"]
) -> Float[Array, "*features"]:
    # In bfloat16 the difference of neighbours has too few bits to square and sum.
    return x_adv.astype(jnp.float32) - x.astype(jnp.float32)


def _norm(x: Float[Array, "*features"]) -> Float[Array, ""]:
    return jnp.sqrt(jnp.sum(jnp.square(x)))
