"""The files of rows in a run folder: one for each process, read together.

A run of one process has `rows.tsv`, one of several `rows-K-of-N.tsv` each.
"""

import codecs
import os
import pathlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np

ROWS_FILE = "rows.tsv"
_SHARD = re.compile(r"rows(-[0-9]+-of-[0-9]+)?\.tsv")
_Columns = TypeVar("_Columns")


def read_merged(
    path: str | os.PathLike[str],
    parse: Callable[[bytes, pathlib.Path], _Columns],
    columns: Sequence[str],
    check: Callable[[_Columns, pathlib.Path], None],
    *,
    advice: str,
) -> _Columns:
    """The rows of a file, or those of all files of a run folder: each id once, by idx.

    Args:
        path: a run folder or a file.
        parse: the rows in the bytes of one file, as columns.
        columns: their names.
        check: refuses rows of a file whose numbers contradict each other.
        advice: how to get rows, where there are none.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the columns or a line are not as expected; the line is named.
    """
    path = pathlib.Path(path)
    files = shards(path) if path.is_dir() else [path] if path.is_file() else []
    if not files:
        raise FileNotFoundError(f"there are no rows at {path}: {advice}")
    contents = [(file.read_bytes(), file) for file in files]
    # A process that has only just begun has not written its header yet.
    begun = [pair for pair in contents if b"\n" in pair[0]] or contents[:1]
    parts = [parse(*pair) for pair in begun]
    for part, (_, file) in zip(parts, begun, strict=True):
        check(part, file)
    if not path.is_dir():
        return parts[0]
    first: dict[str, int] = {}
    for place, id in enumerate(id for part in parts for id in part.id):
        first.setdefault(id, place)
    idx = np.concatenate([part.idx for part in parts])
    order = np.array(sorted(first.values(), key=idx.__getitem__), np.int64)

    def merged(column: str):
        values = [getattr(part, column) for part in parts]
        if column == "id":
            ids = [id for part in values for id in part]
            return tuple(ids[place] for place in order)
        return np.concatenate(values)[order]

    return type(parts[0])(**{column: merged(column) for column in columns})


def shard_name(index: int, count: int) -> str:
    """The file that process `index` of `count` writes its rows to."""
    return ROWS_FILE if count == 1 else f"rows-{index}-of-{count}.tsv"


def shards(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files of rows in a run folder, of all starts and processes, by name."""
    return sorted(f for f in folder.iterdir() if _SHARD.fullmatch(f.name))


class RowFormat(NamedTuple):
    """Format of the rows of one kind in a `rows.tsv`.

    Attributes:
        header: the first line, newline included.
        line_of: the line of a row; its errors say what no line can hold.
        ids: (content, path) to the ids of all whole rows; a bad line is an error.
        kind: the program that writes such rows.
    """

    header: bytes
    line_of: Callable[[Any], bytes]
    ids: Callable[[bytes, pathlib.Path], Collection[str]]
    kind: str

    def begins(self, content: bytes) -> bool:
        """Report that `content` has this header, or a beginning of it and no more.

        A byte order mark before it and a carriage return behind it, as editors leave
        them, are no other header.
        """
        content = content.removeprefix(codecs.BOM_UTF8)
        first, newline, _ = content.partition(b"\n")
        if newline:
            return first.removesuffix(b"\r") + b"\n" == self.header
        return self.header.startswith(first.removesuffix(b"\r"))

    def has_rows(self, content: bytes) -> bool:
        """Report that `content` has more than this header."""
        return bool(content.partition(b"\n")[2].strip())
