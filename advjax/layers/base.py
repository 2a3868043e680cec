"""Base of all networks: options are checked where a network is made."""

import dataclasses
import math

from flax import linen as nn

MOST_UNITS = 2**20
"""More channels, words or pixels a side than any network has."""


class Network(nn.Module):
    """A network that refuses options it could not be trained with.

    Whole numbers count something; `dropout` and `energy` are shares, and `deviation`
    and `boost` are divided by or raised to.
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
    """Values to give instead of an option's; empty where it is fine."""
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
}
