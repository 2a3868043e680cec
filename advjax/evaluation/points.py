"""Examples to evaluate, and their keys."""

import hashlib
import math
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax.types import Key


class Point(NamedTuple):
    """One example to evaluate, at the stage where noise or a perturbation enters."""

    idx: int
    id: str
    x: Float[np.ndarray, "*features"]
    label: int
    wave_l2: float = math.nan
    """The l2 norm of its clip at the waveform; NaN if it is not needed."""


def example_key(key: Key, id: str) -> Key:
    """The key of one example: `key` folded with 64 bits of its id's SHA-256."""
    digest = hashlib.sha256(id.encode()).digest()
    high, low = (int.from_bytes(digest[i : i + 4], "big") for i in (0, 4))
    return jax.random.fold_in(jax.random.fold_in(key, high), low)
