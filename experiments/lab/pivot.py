"""Tables over two axes."""

from collections.abc import Callable, Hashable, Mapping, Sequence

from advjax.reports.tables import DASH, Table


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
