"""Rows that a study finds once, kept in a file under a digest of what decides them.

The first line has that digest, and one of the lines below it; files of earlier versions
have the first alone.
"""

import csv
import hashlib
import io
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar, get_type_hints

from advjax.runs import fields
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable
from experiments.lab import pipeline

Row = TypeVar("Row", bound=NamedTuple)
_FIELDS: dict[type, fields.Field] = {
    int: fields.Whole(low=-1),
    float: fields.Real(words=("nan", "inf", "-inf")),
    bool: fields.Flag(foreign=True),
    str: fields.Name(empty=True),
}


def digest_of(decided_by: Iterable[str]) -> str:
    """16 hexadecimal digits of texts."""
    return hashlib.sha256("\n".join(decided_by).encode()).hexdigest()[:16]


def read(
    file: pathlib.Path, row_type: type[Row], digest: str | None = None
) -> list[Row] | None:
    """The rows of a file that `write` made under that digest, or any; None without.

    Where a digest is given the rows can be found again: a damaged file is told, and
    None.

    Raises:
        Damaged: no digest is given, and the file is not as it was written.
    """
    if not file.exists():
        return None
    try:
        return _read(file, row_type, digest)
    except Damaged as error:
        if digest is None:
            raise
        pipeline.say(f"{error}: its rows are found anew")
        return None


def write(file: pathlib.Path, rows: Sequence[Row], digest: str) -> None:
    """Write a named tuple a line below its digest, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter="\t", lineterminator="\n")
    writer.writerow(type(rows[0])._fields)
    writer.writerows(rows)
    below = text.getvalue().encode("utf-8", errors="surrogateescape")
    with new_file(file) as aside:
        aside.write_bytes(f"# {digest} {_content_digest(below)}\n".encode() + below)


def _read(
    file: pathlib.Path, row_type: type[Row], digest: str | None
) -> list[Row] | None:
    first, _, below = file.read_bytes().partition(b"\n")
    mark, *digests = first.decode("utf-8", errors="replace").rstrip("\r").split(" ")
    name = printable(str(file))
    if mark != "#" or not 1 <= len(digests) <= 2:
        if digest is None:
            raise Damaged(f"{name} line 1: expected # and a digest")
        return None
    if digest not in (None, digests[0]):
        return None
    if len(digests) == 2 and digests[1] != _content_digest(below):
        raise Damaged(f"{name} is not as it was written")
    kinds = get_type_hints(row_type)
    text = below.decode("utf-8", errors="surrogateescape")
    try:
        header, *lines = csv.reader(
            io.StringIO(text, newline=""), delimiter="\t", strict=True
        )
    except (csv.Error, ValueError) as error:
        raise Damaged(f"{name} is damaged: {error}") from error
    if header != [*row_type._fields]:
        if digest is None:
            raise Damaged(f"{name} line 2: expected {' '.join(row_type._fields)}")
        return None
    rows = []
    for number, cells in enumerate(lines, start=3):
        try:
            values = [
                _FIELDS[kinds[column]].read(column, cell)
                for column, cell in zip(row_type._fields, cells, strict=True)
            ]
        except ValueError as error:
            raise fields.bad_line(file, number, str(error)) from error
        rows.append(row_type(*values))
    return rows


def _content_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
