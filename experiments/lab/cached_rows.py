"""Rows that a program computes once, in a file under a digest of their settings.

The first line has that digest, and one of the lines below it; files of earlier versions
have the first alone.
"""

import hashlib
import pathlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeVar

from advjax.runs.columns import bad_line
from advjax.runs.rows import Schema
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable
from experiments.lab.console import say

Row = TypeVar("Row", bound=NamedTuple)


def digest_of(decided_by: Iterable[str]) -> str:
    """16 hexadecimal digits of texts."""
    return _digest("\n".join(decided_by).encode())


def read(
    file: pathlib.Path, row_type: type[Row], digest: str | None = None
) -> list[Row] | None:
    """The rows of a file of `write`; None without one.

    Args:
        file: of `write`.
        row_type: of its lines.
        digest: of the rows wanted: None is returned where the file has another digest
            or, with a line on the console, is damaged. By default any rows are read.

    Raises:
        Damaged: no digest is given, and the file is not as it was written.
    """
    if not file.exists():
        return None
    first, _, below = file.read_bytes().partition(b"\n")
    mark, *digests = first.decode("utf-8", errors="replace").rstrip("\r").split(" ")
    try:
        if mark != "#" or not 1 <= len(digests) <= 2:
            raise bad_line(file, 1, "expected # and a digest")
        if digest not in (None, digests[0]):
            return None
        if len(digests) == 2 and digests[1] != _digest(below):
            raise Damaged(f"{printable(str(file))} is not as it was written")
        return list(_schema(row_type).parse(below, file, above=1))
    except Damaged as error:
        if digest is None:
            raise
        say(f"{error}: its rows are computed again")
        return None


def write(file: pathlib.Path, rows: Sequence[Row], digest: str) -> None:
    """Write a named tuple a line below its digest, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    below = _schema(type(rows[0])).content(rows)
    with new_file(file) as aside:
        aside.write_bytes(f"# {digest} {_digest(below)}\n".encode() + below)


def _schema(row_type: type[Row]) -> Schema[Row]:
    return Schema(row_type, f"a table of {row_type.__name__}", quoted=True)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
