"""Examples to evaluate, and their keys."""

import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax.padding import Padded, stack
from advjax.types import Key


class Point(NamedTuple):
    """One example to evaluate, at the stage where noise or a perturbation enters."""

    idx: int
    id: str
    x: Float[np.ndarray, "*features"]
    label: int
    wave_l2: float = math.nan
    """The l2 norm of its clip at the waveform; NaN if it is not needed."""
    pad_to: int | None = None
    """Entries along the first axis that programs see, zeros behind; None for its own.

    Points of several lengths are one batch if they are padded to the same one.
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape that programs see."""
        if self.pad_to is None:
            return self.x.shape
        return (self.pad_to, *self.x.shape[1:])


def stacked(points: Sequence[Point]) -> Float[np.ndarray, "points ..."] | Padded:
    """Points of one shape as one array, or padded to the first one's `pad_to`."""
    return stack([point.x for point in points], points[0].pad_to)


def example_key(key: Key, id: str) -> Key:
    """The key of one example: `key` folded with 64 bits of its id's SHA-256."""
    digest = hashlib.sha256(id.encode()).digest()
    high, low = (int.from_bytes(digest[i : i + 4], "big") for i in (0, 4))
    return jax.random.fold_in(jax.random.fold_in(key, high), low)
