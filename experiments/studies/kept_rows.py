"""Rows that a study finds once, kept in a file under a digest of what decides them."""

import csv
import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar, get_type_hints

from advjax.atomic import new_file

Row = TypeVar("Row", bound=NamedTuple)


def digest_of(decided_by: Iterable[str]) -> str:
    """16 hexadecimal digits of texts."""
    return hashlib.sha256("\n".join(decided_by).encode()).hexdigest()[:16]


def read(
    file: pathlib.Path, row_type: type[Row], digest: str | None = None
) -> list[Row] | None:
    """The rows of a file that `write` made under that digest, or any; None without."""
    if not file.exists():
        return None
    with file.open(newline="", encoding="utf-8") as stream:
        head = stream.readline()
        rows = csv.reader(stream, delimiter="\t")
        wanted = head if digest is None else f"# {digest}\n"
        if head != wanted or next(rows, None) != [*row_type._fields]:
            return None
        columns = get_type_hints(row_type).values()
        return [
            row_type(*(read(text) for read, text in zip(columns, row, strict=True)))
            for row in rows
        ]


def write(file: pathlib.Path, rows: Sequence[Row], digest: str) -> None:
    """Nothing; writes a named tuple a line below its digest, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with (
        new_file(file) as aside,
        aside.open("w", newline="", encoding="utf-8") as stream,
    ):
        stream.write(f"# {digest}\n")
        writer = csv.writer(stream, delimiter="\t", lineterminator="\n")
        writer.writerow(type(rows[0])._fields)
        writer.writerows(rows)
