"""Rows stored by column, and errors about bad rows."""

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

    Iteration gives rows of `row_type`.
    """

    def __init__(self, row_type: type[Row], columns: Mapping[str, Any]):
        """Store columns of one length: arrays, and tuples of texts."""
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
        """Rows with Python's own numbers."""
        fields = [self.columns[name] for name in self.row_type._fields]
        values = [f.tolist() if isinstance(f, np.ndarray) else f for f in fields]
        return map(self.row_type._make, zip(*values, strict=True))

    def take(self, places: Sequence[int] | np.ndarray) -> "Rows[Row]":
        """Rows at these places, or where a mask is true."""
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
    """Error about one line of a file."""
    return Damaged(f"{printable(str(path))} line {number}: {complaint}")


def refuse(
    path: pathlib.Path, bad: np.ndarray, complaint: Callable[[int], str]
) -> None:
    """Refuse a file in which a row is marked as bad.

    Args:
        path: the file.
        bad: True for each bad row.
        complaint: reason why a row is bad, by its number.

    Raises:
        Damaged: a row is bad; the message has the line of the first.
    """
    found = np.flatnonzero(bad)
    if found.size:
        raise bad_line(path, int(found[0]) + 2, complaint(int(found[0])))


def refuse_repeated_ids(
    rows: Rows, path: pathlib.Path, settings: Mapping[str, Any] | None = None
) -> None:
    """Refuse a file with two rows of one id.

    Raises:
        Damaged: an id occurs twice; the message has the line of the second.
    """
    first: dict[str, int] = {}
    for number, id in enumerate(rows.id, start=2):
        if (before := first.setdefault(id, number)) != number:
            raise bad_line(path, number, f"line {before} has the id {cut(id)} already")
