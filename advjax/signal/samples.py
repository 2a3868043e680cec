"""Conversion between 16-bit samples and waves with full scale 1."""

import numpy as np
from jaxtyping import Array, Float, Float32, Int, Int16

FULL_SCALE = 32768.0


def to_int16(wave: Float[np.ndarray, "*shape"]) -> Int16[np.ndarray, "*shape"]:
    """Wave in steps of 1/32768, rounded to even; full scale saturates at 32767.

    Raises:
        ValueError: samples are NaN or infinite.
    """
    if not np.isfinite(wave).all():
        raise ValueError("cannot round NaN or infinite samples to 16 bits: remove them")
    return np.clip(np.rint(wave * FULL_SCALE), -32768, 32767).astype(np.int16)


def from_int16(
    audio: Int[np.ndarray, "*shape"] | Int[Array, "*shape"],
) -> Float32[np.ndarray, "*shape"] | Float32[Array, "*shape"]:
    """16-bit samples as float32 in [-1, 1); `to_int16` inverts this exactly."""
    return audio.astype(np.float32) / np.float32(FULL_SCALE)
