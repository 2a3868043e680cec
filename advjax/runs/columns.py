"""Rows by column, and refusals of rows that cannot be."""

import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from advjax.runs.cells import cut
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

Row = TypeVar("Row", bound=tuple)


class Rows(Generic[Row]):
    """Rows by column: `rows.radius` is an array, and `rows.id` a tuple of texts.

    Iteration gives the rows themselves.
    """

    def __init__(self, row_type: type[Row], columns: Mapping[str, Any]):
        """Rows of a type, by column: arrays, and tuples of texts, of one length."""
        self.row_type = row_type
        self.columns = dict(columns)

    def __getattr__(self, name: str) -> Any:
        """A column by its name."""
        try:
            return self.__dict__["columns"][name]
        except KeyError:
            raise AttributeError(f"these rows have no column {name!r}") from None

    def __len__(self) -> int:
        """The number of rows."""
        return len(next(iter(self.columns.values())))

    def __iter__(self) -> Iterator[Row]:
        """The rows, of Python's own numbers."""
        fields = [self.columns[name] for name in self.row_type._fields]
        values = [f.tolist() if isinstance(f, np.ndarray) else f for f in fields]
        return map(self.row_type._make, zip(*values, strict=True))

    def take(self, places: Sequence[int] | np.ndarray) -> "Rows[Row]":
        """The rows at these places, or where a mask is true."""
        kept = np.arange(len(self))[places]
        return Rows(
            self.row_type,
            {
                name: column[kept]
                if isinstance(column, np.ndarray)
                else tuple(column[place] for place in kept)
                for name, column in self.columns.items()
            },
        )


def concatenate(parts: Sequence[Rows[Row]]) -> Rows[Row]:
    """The rows of all parts, one after another."""
    together = {}
    for name, first in parts[0].columns.items():
        columns = [part.columns[name] for part in parts]
        together[name] = (
            np.concatenate(columns)
            if isinstance(first, np.ndarray)
            else tuple(text for column in columns for text in column)
        )
    return Rows(parts[0].row_type, together)


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


def refuse_repeated_ids(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None = None
) -> None:
    """Refuse a file with two rows of one id, which no program writes.

    Raises:
        Damaged: there are such; the line of the second is named.
    """
    first: dict[str, int] = {}
    for number, id in enumerate(rows.id, start=2):
        if (before := first.setdefault(id, number)) != number:
            raise bad_line(path, number, f"line {before} has the id {cut(id)} already")
