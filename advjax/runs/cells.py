"""Cells of text tables: a writer and a strict reader for each type of column.

Python's `int` and `float` also accept `1_0`, digits of any script, spaces and NaN.
Cells accept only what programs write.
"""

import dataclasses
import datetime
import math
import re
from typing import Any

import numpy as np

from advjax.runtime.text import printable

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPAN = re.compile(
    r"(?:(?:([0-9]{1,7}) days?, )?([0-9]{1,9}):)?([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]*)?)"
)
_FLAGS = {"0": False, "1": True}
# Spellings of older NumPy, of Python and of `repr`.
_FOREIGN_FLAGS = {
    "0.0": False, "0": False, "False": False, "1.0": True, "1": True, "True": True,
}  # fmt: skip
ANY = ("nan", "inf", "-inf")
"""Words for numbers that are not finite."""


@dataclasses.dataclass(frozen=True)
class Whole:
    """A column of integers of at least `low`, as int64.

    Attributes:
        low: the smallest.
        high: the largest; None is no limit.
        absent: value of rows whose file lacks the column.
    """

    low: int = 0
    high: int | None = None
    absent: int = 0
    dtype = np.int64

    def write(self, name: str, value: Any) -> str:
        """The text of a number."""
        return str(int(value))

    def read(self, name: str, text: str) -> int:
        """The number in `text`."""
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"{name} must be a whole number, found {cut(text)}")
        if len(text) > 19 or int(text) >= 2**63:
            raise ValueError(f"{name} is too large: {text[:40]}")
        if int(text) < self.low:
            raise ValueError(f"{name} must be {self.low} or more, found {text}")
        if self.high is not None and int(text) > self.high:
            raise ValueError(f"{name} must be {self.high} or less, found {text}")
        return int(text)


@dataclasses.dataclass(frozen=True)
class Real:
    """A column of numbers from `low` to `high`, as float64.

    Attributes:
        low: the smallest; None is no limit.
        high: the largest; None is no limit.
        words: which of "inf", "-inf" and "nan" may stand for a number.
        format: how numbers are rounded, such as ".6g"; "" is the shortest text that
            reads back as the same float64.
    """

    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    format: str = ""
    dtype = np.float64
    absent = math.nan

    def write(self, name: str, value: Any) -> str:
        """The text of a number."""
        return format(float(value), self.format) if self.format else repr(float(value))

    def read(self, name: str, text: str) -> float:
        """The number in `text`."""
        if text in self.words:
            return float(text)
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"{name} must be a number, found {cut(text)}")
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{name} is too large: {cut(text)}")
        if self.low is not None and value < self.low:
            raise ValueError(f"{name} must be {self.low:g} or more, found {text}")
        if self.high is not None and value > self.high:
            raise ValueError(f"{name} must be {self.high:g} or less, found {text}")
        return value


@dataclasses.dataclass(frozen=True)
class Flag:
    """A column of 0 or 1.

    Attributes:
        foreign: the column is of another program: also read 1.0, True and the like, and
            write Python's words.
    """

    foreign: bool = False
    dtype = np.bool_
    absent = False

    def write(self, name: str, value: Any) -> str:
        """Text of a truth value."""
        return str(bool(value)) if self.foreign else str(int(value))

    def read(self, name: str, text: str) -> bool:
        """Truth value of `text`."""
        flags = _FOREIGN_FLAGS if self.foreign else _FLAGS
        if text not in flags:
            raise ValueError(f"{name} must be 0 or 1, found {cut(text)}")
        return flags[text]


@dataclasses.dataclass(frozen=True)
class Seconds:
    """A column of time spans: 13.7, 0:00:13.736080, 1 day, 2:00:03.5."""

    dtype = np.float64
    absent = math.nan

    def write(self, name: str, value: Any) -> str:
        """`h:mm:ss.ffffff`, as Cohen's `certify.py` prints a time span."""
        span = datetime.timedelta(seconds=float(value))
        whole, fraction = divmod(span // datetime.timedelta(microseconds=1), 1_000_000)
        hours, minutes, seconds = whole // 3600, whole // 60 % 60, whole % 60
        return f"{hours}:{minutes:02d}:{seconds:02d}.{fraction:06d}"

    def read(self, name: str, text: str) -> float:
        """Seconds in `text`."""
        if found := _SPAN.fullmatch(text):
            days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
            seconds = float(found[4])
            if minutes < 60 and seconds < 60:
                return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        elif _NUMBER.fullmatch(text):
            return Real(low=0).read(name, text)
        raise ValueError(f"{name} must be a time span, found {cut(text)}")


@dataclasses.dataclass(frozen=True)
class Text:
    """A column of texts, unchanged.

    Attributes:
        empty: allow the empty text.
    """

    empty: bool = False
    dtype = None
    absent = ""

    def write(self, name: str, value: str) -> str:
        """The text."""
        return value

    def read(self, name: str, text: str) -> str:
        """The text."""
        if not text and not self.empty:
            raise ValueError(f"{name} is empty")
        return text


Cell = Whole | Real | Flag | Seconds | Text


def cut(text: str, length: int = 60) -> str:
    """Beginning of a text, in quotes, for messages."""
    more = "..." if len(text) > length else ""
    return f"'{printable(text[:length])}'{more}"
