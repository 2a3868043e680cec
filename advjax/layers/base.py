"""Base class of networks, which checks their options."""

import dataclasses
import math

from flax import linen as nn

MOST_UNITS = 2**20
"""The greatest count of an option: more channels, words or pixels than usual."""


class Network(nn.Module):
    """A network that refuses options out of range.

    A whole number is a count of at least 1. `_RANGES` holds the ranges of other
    options.
    """

    def __post_init__(self):
        """Refuse options out of range."""
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("parent", "name", "version") or value is None:
                continue
            if reason := _out_of_range(field.name, value):
                raise ValueError(f"{field.name}={value}: give {reason}")
        super().__post_init__()


def _out_of_range(name: str, value: object) -> str:
    """The range of an option as words; empty if the value is within it."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    if isinstance(value, int) and name not in _RANGES:
        return "" if 1 <= value <= MOST_UNITS else f"1 to {MOST_UNITS:,}"
    holds, words = _RANGES.get(name, (math.isfinite, "a finite number"))
    return "" if holds(value) else words


_RANGES = {
    "dropout": (lambda share: 0 <= share < 1, "a share of at least 0 and below 1"),
    "energy": (lambda share: 0 < share <= 1, "a share above 0 and at most 1"),
    "deviation": (lambda size: 0 < size < math.inf, "a positive finite number"),
    "boost": (lambda size: 0 < size < math.inf, "a positive finite number, or None"),
    "threshold": (lambda size: 0 <= size < math.inf, "a number of at least 0"),
    "mean": (math.isfinite, "a finite number"),
    "coef0": (math.isfinite, "a finite number"),
    "cost": (lambda size: 0 < size < math.inf, "a positive finite number, or None"),
}
