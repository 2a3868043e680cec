"""Budgets of attacks as text: a signal-to-noise ratio, a level, or a norm."""

import re

import numpy as np
from jaxtyping import Float

from advjax.attacks import Attack, eps_for_dbfs, eps_for_snr

_PATTERN = re.compile(
    r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*(dB|dBFS|)\s*",
    re.ASCII | re.IGNORECASE,
)
_UNITS = {"db": "dB", "dbfs": "dBFS", "": None}
_RANGES = {"dB": (-100.0, 300.0), "dBFS": (-300.0, 20.0), None: (0.0, 1e30)}
_NAMES = {"dB": "a ratio in dB", "dBFS": "a level in dBFS", None: "a norm"}


def size(text: str, x: Float[np.ndarray, "*features"], norm: str) -> float:
    """The budget of one example, in the attack's norm and the units of its stage.

    Args:
        text: "20dB": a signal-to-noise ratio; "-40dBFS": a level below full scale;
            "0.01": the norm itself.
        x: the clean example.
        norm: "linf" or "l2".

    Raises:
        ValueError: see `parse`.
    """
    value, unit = parse(text)
    if unit == "dB":
        return float(eps_for_snr(x, snr_db=value, norm=norm))
    if unit == "dBFS":
        return float(eps_for_dbfs(x.size, dbfs=value, norm=norm))
    return value


def parse(text: str) -> tuple[float, str | None]:
    """The number and the unit of a budget: "dB", "dBFS", or None for a norm.

    Raises:
        ValueError: a text of another form, or a number out of range.
    """
    read = _PATTERN.fullmatch(text)
    if not read:
        raise ValueError(
            f"--budget={text!r} cannot be read: write 20dB for a signal-to-noise "
            "ratio, -40dBFS for a level, or a norm such as 0.01"
        )
    value, unit = float(read[1]), _UNITS[read[2].casefold()]
    low, high = _RANGES[unit]
    if not low <= value <= high:
        raise ValueError(
            f"--budget={text!r} is out of range: give {_NAMES[unit]} from {low:g} to "
            f"{high:g}"
        )
    return value, unit


def label(text: str) -> str:
    """The budget as folders and tables name it: its unit in the usual letters."""
    _, unit = parse(text)
    return f"{_PATTERN.fullmatch(text)[1]}{unit or ''}"


def check(text: str | None, name: str, built: Attack) -> None:
    """Refuse, before any work, a budget that the attack cannot keep within.

    Raises:
        ValueError: none, one that cannot be read, or one that allows everything.
    """
    if not built.fixed_budget:
        return
    if text is None:
        raise ValueError(
            f"{name} keeps within a budget: give --budget=20dB (of SNR), "
            f"--budget=-40dBFS, or its {built.norm} norm"
        )
    value, unit = parse(text)
    low, high = built.bounds
    if unit is None and built.norm == "linf" and value >= high - low:
        raise ValueError(
            f"--budget={text} allows any input between the bounds {low:.4g} and "
            f"{high:.4g}: give less, or {value:g}dB for a signal-to-noise ratio"
        )
