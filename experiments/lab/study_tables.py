"""Tables of studies: pivots, listings, and their sections in a report."""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from advjax.reports.page import Block, Heading
from advjax.reports.tables import DASH, Table

_Item = TypeVar("_Item")


def pivot(
    corner: str,
    rows: Mapping[Hashable, str],
    columns: Mapping[Hashable, str],
    cell: Callable[..., str | None],
    notes: Sequence[str] = (),
) -> Table:
    """A table with a text for each row and column.

    Args:
        corner: header of the column of row titles.
        rows: titles by key, in their order.
        columns: likewise.
        cell: (row key, column key) -> text; a dash is shown for None.
        notes: below the table.
    """
    body = [
        [title, *(cell(row, column) or DASH for column in columns)]
        for row, title in rows.items()
    ]
    return Table([corner, *columns.values()], body, notes)


def listing(
    items: Iterable[_Item],
    columns: Mapping[str, Callable[[_Item], str | None]],
    notes: Sequence[str] = (),
) -> Table:
    """A table with a row for each item.

    Args:
        items: in the order of the rows.
        columns: item -> text, by header; a dash is shown for None.
        notes: below the table.
    """
    body = [[text(item) or DASH for text in columns.values()] for item in items]
    return Table([*columns], body, notes)


def sections(found: Mapping[str, Table], *, level: int = 2) -> Iterator[Block]:
    """Each table that has rows, below its title as a heading."""
    for title, table in found.items():
        if table.rows:
            yield from (Heading(title, level), table)
