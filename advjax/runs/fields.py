"""Tables of text, read with suspicion: one reader a column, and errors with a line.

Python's own `int` and `float` take `1_0`, digits of any script, spaces and NaN. Readers
here take what programs write and no more.
"""

import codecs
import dataclasses
import math
import pathlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)")
_NUMBER = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_SPAN = re.compile(
    r"(?:(?:([0-9]{1,7}) days?, )?([0-9]{1,9}):)?([0-9]{1,2}):([0-9]{1,2}(?:\.[0-9]*)?)"
)
# Those of older NumPy, of Python and of `repr`.
_FLAGS = {"0": False, "1": True}
_FOREIGN_FLAGS = {
    "0.0": False, "0": False, "False": False, "1.0": True, "1": True, "True": True,
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Whole:
    """A column of whole numbers from `low` on, as int64."""

    low: int = 0
    dtype = np.int64

    def read(self, name: str, text: str) -> int:
        """The number that `text` writes."""
        if not _WHOLE.fullmatch(text):
            raise ValueError(f"invalid literal for {name}: {_cut(text)} is no number")
        if len(text) > 19 or int(text) >= 2**63:
            raise ValueError(f"{text[:40]} is too large for {name}")
        if int(text) < self.low:
            raise ValueError(f"{name} must be {self.low} or more, found {text}")
        return int(text)


@dataclasses.dataclass(frozen=True)
class Real:
    """A column of numbers from `low` to `high`, as float64.

    Attributes:
        low: the smallest; None is no limit.
        high: the largest; None is no limit.
        words: which of "inf", "-inf" and "nan" may stand for a number.
    """

    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] = ()
    dtype = np.float64

    def read(self, name: str, text: str) -> float:
        """The number that `text` writes."""
        if text in self.words:
            return float(text)
        if not _NUMBER.fullmatch(text):
            raise ValueError(f"could not convert {name}={_cut(text)} to a number")
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(f"{name}={_cut(text)} is too large")
        if self.low is not None and value < self.low:
            raise ValueError(f"{name} must be {self.low:g} or more, found {text}")
        if self.high is not None and value > self.high:
            raise ValueError(f"{name} must be {self.high:g} or less, found {text}")
        return value


@dataclasses.dataclass(frozen=True)
class Flag:
    """A column of 0 or 1.

    Attributes:
        foreign: take what other programs write, too: 1.0, True and the like.
    """

    foreign: bool = False
    dtype = np.bool_

    def read(self, name: str, text: str) -> bool:
        """The truth of `text`."""
        flags = _FOREIGN_FLAGS if self.foreign else _FLAGS
        if text not in flags:
            raise ValueError(f"{name} must be 0 or 1, found {_cut(text)}")
        return flags[text]


@dataclasses.dataclass(frozen=True)
class Seconds:
    """A column of time spans: 13.7, 0:00:13.736080, 1 day, 2:00:03.5."""

    dtype = np.float64

    def read(self, name: str, text: str) -> float:
        """The seconds of `text`."""
        if found := _SPAN.fullmatch(text):
            days, hours, minutes = (int(part or 0) for part in found.groups()[:3])
            seconds = float(found[4])
            if minutes < 60 and seconds < 60:
                return ((days * 24 + hours) * 60 + minutes) * 60 + seconds
        elif _NUMBER.fullmatch(text):
            return Real(low=0).read(name, text)
        raise ValueError(f"could not convert {name}={_cut(text)} to a time span")


@dataclasses.dataclass(frozen=True)
class Name:
    """A column of texts, as they are.

    Attributes:
        empty: allow the empty text.
    """

    empty: bool = False
    dtype = None

    def read(self, name: str, text: str) -> str:
        """The text."""
        if not text and not self.empty:
            raise ValueError(f"{name} is empty")
        return text


Field = Whole | Real | Flag | Seconds | Name


def lines(content: bytes) -> tuple[list[str], str]:
    r"""The lines of a file without what ends them, and what follows the last of them.

    A byte order mark and blank last lines are left out. Lines may end in `\r\n`.
    """
    content = content.removeprefix(codecs.BOM_UTF8)
    *found, rest = content.decode("utf-8", errors="surrogateescape").split("\n")
    found = [line.removesuffix("\r") for line in found]
    while len(found) > 1 and not found[-1]:
        found.pop()
    return found or [rest], rest


def table(
    rows: Sequence[str], fields: Mapping[str, Field], path: pathlib.Path
) -> list[list[Any]]:
    """The values of the lines below a header, in the order of `fields`.

    Args:
        rows: the lines, the first of which is the second of the file.
        fields: the readers of all cells of a line.
        path: the file's name, for messages.

    Raises:
        Damaged: a line is not as expected; it is named.
    """
    found = []
    for number, row in enumerate(rows, start=2):
        cells = row.split("\t")
        if len(cells) != len(fields):
            raise bad_line(
                path,
                number,
                f"expected {len(fields)} cells, found {len(cells)}: {_cut(row, 200)}",
            )
        try:
            pairs = zip(fields.items(), cells, strict=True)
            found.append([field.read(name, cell) for (name, field), cell in pairs])
        except ValueError as error:
            raise bad_line(path, number, str(error)) from error
    return found


def columns(
    rows: Sequence[Sequence[Any]], fields: Mapping[str, Field]
) -> dict[str, Any]:
    """The values of a table by column: arrays, and tuples of texts."""
    values = zip(*rows, strict=True) if rows else [()] * len(fields)
    return {
        name: tuple(column)
        if field.dtype is None
        else np.array(column, dtype=field.dtype)
        for (name, field), column in zip(fields.items(), values, strict=True)
    }


def bad_line(path: pathlib.Path, number: int, complaint: str) -> Damaged:
    """The error of one line of a file."""
    return Damaged(f"{printable(str(path))} line {number}: {complaint}")


def refuse(
    path: pathlib.Path, bad: np.ndarray, complaint: Callable[[int], str]
) -> None:
    """Refuse the first row of a file that is marked as bad.

    Args:
        path: the file.
        bad: a mark for each row.
        complaint: the number of a row to what is wrong with it.

    Raises:
        Damaged: there is one; its line is named.
    """
    found = np.flatnonzero(bad)
    if found.size:
        raise bad_line(path, int(found[0]) + 2, complaint(int(found[0])))


def refuse_doubles(path: pathlib.Path, ids: Sequence[str]) -> None:
    """Refuse a file with two rows of one id, which no program writes.

    Raises:
        Damaged: there are such; the line of the second is named.
    """
    first: dict[str, int] = {}
    for number, id in enumerate(ids, start=2):
        if (before := first.setdefault(id, number)) != number:
            raise bad_line(path, number, f"line {before} has the id {_cut(id)} already")


def _cut(text: str, length: int = 60) -> str:
    """A text as a message shows it."""
    more = "..." if len(text) > length else ""
    return f"'{printable(text[:length])}'{more}"
