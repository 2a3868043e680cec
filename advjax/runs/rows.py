"""Tables of rows as text: a header, then tab-separated lines.

A `Schema` describes the rows of one type: its fields are annotated with the cells that
write and read them. Numbers are text, and nothing in a file is evaluated.

A run of one process has its rows in `rows.tsv`. Of several processes, each has its rows
in `rows-K-of-N.tsv`; a folder is read as one table.
"""

import codecs
import contextlib
import csv
import dataclasses
import functools
import io
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, get_type_hints

import numpy as np

from advjax.runs.cells import ANY, Cell, Flag, Real, Text, Whole, cut
from advjax.runs.columns import Row, Rows, bad_line, concatenate, refuse_repeated_ids
from advjax.runs.descriptions import RUN_FILE, description
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

ROWS_FILE = "rows.tsv"
_SHARD = re.compile(r"rows(-[0-9]+-of-[0-9]+)?\.tsv")
_PLAIN: dict[type, Cell] = {
    int: Whole(low=-1),
    float: Real(words=ANY),
    bool: Flag(foreign=True),
    str: Text(empty=True),
}
"""Cells of fields whose annotation is a plain type."""


@dataclasses.dataclass(frozen=True)
class Schema(Generic[Row]):
    """Format of the rows of one type.

    Attributes:
        row_type: named tuple whose fields are the columns. They are annotated with
            cells, or with types whose cells are in `_PLAIN`.
        title: name of such rows, for messages.
        kind: program that writes them, as in `run.json`.
        advice: what to do where there are no rows.
        derived: cells of properties of a row, in columns after the fields.
        check: refuses rows of a file whose numbers contradict each other, or the
            settings of their run if there are any.
        leading: numbers of leading columns that files of earlier versions and of other
            programs may have.
        optional: number of columns at the end that a run may do without. A file is
            continued with the columns that it has.
        dropped: number of these that files of this schema do without.
        foreign: a file with at most so many columns is another program's.
        quoted: put texts with tabs, quotes or line breaks in quotes, as `csv` does.
            Other schemas refuse such texts, so that a line is a row.
    """

    row_type: type[Row]
    title: str
    kind: str = ""
    advice: str = ""
    derived: Mapping[str, Cell] = dataclasses.field(default_factory=dict)
    check: Callable[[Rows, pathlib.Path, Mapping[str, Any] | None], None] = (
        refuse_repeated_ids
    )
    leading: tuple[int, ...] = ()
    optional: int = 0
    dropped: int = 0
    foreign: int = 0
    quoted: bool = False

    @functools.cached_property
    def cells(self) -> dict[str, Cell]:
        """Cells of all columns, by name."""
        hints = get_type_hints(self.row_type, include_extras=True)
        annotated = {
            name: getattr(hint, "__metadata__", None) or [_PLAIN[hint]]
            for name, hint in hints.items()
        }
        return {name: cells[0] for name, cells in annotated.items()} | {**self.derived}

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns that are written."""
        return tuple(self.cells)[: len(self.cells) - self.dropped]

    @property
    def header(self) -> bytes:
        """The first line of a file, newline included."""
        return self._line(self.names)

    def without(self, dropped: int) -> "Schema[Row]":
        """The schema of files without so many of the optional columns."""
        return dataclasses.replace(self, dropped=dropped)

    def like(self, content: bytes) -> "Schema[Row]":
        """The schema of a file's own columns; this one if `content` has no header."""
        kinds = map(self.without, range(self.optional + 1))
        begun = b"\n" in content
        return next((each for each in kinds if begun and each.begins(content)), self)

    def line(self, row: Row) -> bytes:
        """The line of a row, newline included.

        Raises:
            ValueError: a text has a tab or a line break, or a time is not a number.
        """
        texts = []
        for name in self.names:
            text = self.cells[name].write(name, getattr(row, name))
            if not self.quoted and set(text) & set("\t\n\r"):
                raise ValueError(
                    f"the {name} {text!r} has a tab or a line break: rename the clip"
                )
            texts.append(text)
        return self._line(texts)

    def content(self, rows: Iterable[Row]) -> bytes:
        """The text of a file of rows."""
        return self.header + b"".join(map(self.line, rows))

    def write(self, file: pathlib.Path, rows: Iterable[Row]) -> None:
        """Write a file of rows, complete or not at all."""
        with new_file(file) as aside:
            aside.write_bytes(self.content(rows))

    def rows(self, rows: Sequence[Row]) -> Rows[Row]:
        """Rows by column."""
        return self._by_column(self.row_type._fields, rows)

    def read(self, path: str | os.PathLike[str]) -> Rows[Row]:
        """Rows of a run folder or of one of its files.

        A folder gives the rows of all processes, each id once and in the order of
        `idx`. They must not contradict the settings in its `run.json`. A last line that
        is still being written, or was cut short, is left out.

        Raises:
            FileNotFoundError: there is no such file.
            ValueError: the columns or a line are not as expected, or the numbers of a
                line contradict each other; the line is named.
        """
        path = pathlib.Path(path)
        files = shards(path) if path.is_dir() else [path] if path.is_file() else []
        if not files:
            raise FileNotFoundError(f"there are no rows at {path}: {self.advice}")
        settings = None
        if path.is_dir() and os.path.lexists(path / RUN_FILE):
            settings = description(path)["settings"]
        contents = [(file.read_bytes(), file) for file in files]
        # A process that has just started has written no header yet.
        begun = [pair for pair in contents if b"\n" in pair[0]] or contents[:1]
        parts = [self.parse(*pair) for pair in begun]
        for part, (_, file) in zip(parts, begun, strict=True):
            self.check(part, file, settings)
        return _merged(parts) if path.is_dir() else parts[0]

    def ids(self, content: bytes, path: pathlib.Path) -> tuple[str, ...]:
        """Ids of all whole rows of a file; a bad line is an error."""
        rows = self.parse(content, path)
        self.check(rows, path, None)
        return rows.id

    def parse(self, content: bytes, path: pathlib.Path, *, above: int = 0) -> Rows[Row]:
        """Rows in the bytes of a file.

        Bytes after the last newline are left out. In another program's file they count
        if only digits of the last cell can be missing.

        Args:
            content: the bytes of the file.
            path: its name, for messages.
            above: number of lines of the file above these.

        Raises:
            ValueError: the columns or a line are not as expected; the line is named.
        """
        (header, *lines), rest = self._texts(content, path)
        columns = tuple(header)
        names = tuple(self.cells)
        widths = [len(names) - dropped for dropped in range(self.optional + 1)]
        readable = [names[:count] for count in (*widths, *self.leading)]
        if columns not in readable or (self.foreign and b"\n" not in content):
            expected = f"these are not the rows of {self.title}"
            if self.foreign:
                expected = (
                    f"expected the columns {' '.join(names)}, or the first "
                    f"{self.foreign}, separated by tabs"
                )
            found = "\t".join(header)[:200]
            raise bad_line(path, above + 1, f"{expected}; found {found!r}")
        cells = {name: self.cells[name] for name in columns}
        foreign = len(columns) <= self.foreign
        if foreign:
            cells = {
                name: Flag(foreign=True) if isinstance(cell, Flag) else cell
                for name, cell in cells.items()
            }
        values = [
            _values(line, cells, path, number)
            for number, line in enumerate(lines, start=above + 2)
        ]
        if foreign:
            with contextlib.suppress(ValueError):
                values.append(_values(rest, cells, path, len(lines) + 2))
        return self._by_column(columns, values)

    def begins(self, content: bytes) -> bool:
        """True if `content` begins with this header, or is a beginning of it.

        A byte order mark before the header and a carriage return after it, which
        editors add, are ignored.
        """
        content = content.removeprefix(codecs.BOM_UTF8)
        first, newline, _ = content.partition(b"\n")
        if newline:
            return first.removesuffix(b"\r") + b"\n" == self.header
        return self.header.startswith(first.removesuffix(b"\r"))

    def has_rows(self, content: bytes) -> bool:
        """True if `content` has more than the header."""
        return bool(content.partition(b"\n")[2].strip())

    def _line(self, texts: Sequence[str]) -> bytes:
        line = "\t".join(texts) + "\n"
        if self.quoted:
            stream = io.StringIO(newline="")
            csv.writer(stream, delimiter="\t", lineterminator="\n").writerow(texts)
            line = stream.getvalue()
        return line.encode("utf-8", errors="surrogateescape")

    def _texts(
        self, content: bytes, path: pathlib.Path
    ) -> tuple[list[list[str]], list[str]]:
        r"""Cells of each line of a file, and of the text after the last line.

        A byte order mark and blank last lines are left out. Lines may end in `\r\n`.
        """
        text = content.removeprefix(codecs.BOM_UTF8).decode(
            "utf-8", errors="surrogateescape"
        )
        if self.quoted:
            stream = io.StringIO(text, newline="")
            try:
                lines = list(csv.reader(stream, delimiter="\t", strict=True))
            except csv.Error as error:
                raise Damaged(f"{printable(str(path))} is damaged: {error}") from error
            return lines or [[""]], [""]
        *found, rest = text.split("\n")
        found = [line.removesuffix("\r") for line in found]
        while len(found) > 1 and not found[-1]:
            found.pop()
        return [line.split("\t") for line in found or [rest]], rest.split("\t")

    def _by_column(
        self, names: Sequence[str], rows: Sequence[Sequence[Any]]
    ) -> Rows[Row]:
        """Rows by column, with defaults for columns that an old file lacks."""
        values = zip(*rows, strict=True) if rows else [()] * len(names)
        found = dict(zip(names, values, strict=True))
        columns = {}
        for name, cell in self.cells.items():
            if name in self.derived and name not in found:
                continue
            column = found.get(name, (cell.absent,) * len(rows))
            if name == "id" and name not in found:
                column = tuple(map(str, found["idx"]))
            columns[name] = (
                tuple(column) if cell.dtype is None else np.array(column, cell.dtype)
            )
        by_column = Rows(self.row_type, columns)
        if "id" not in columns and hasattr(self.row_type, "id"):
            columns["id"] = tuple(row.id for row in by_column)
        return Rows(self.row_type, columns)


def shard_name(index: int, count: int) -> str:
    """Name of the file of process `index` of `count`."""
    return ROWS_FILE if count == 1 else f"rows-{index}-of-{count}.tsv"


def shards(folder: pathlib.Path) -> list[pathlib.Path]:
    """Files of rows in a run folder, of all starts and processes, by name."""
    return sorted(f for f in folder.iterdir() if _SHARD.fullmatch(f.name))


def _merged(parts: Sequence[Rows[Row]]) -> Rows[Row]:
    """Rows of all parts, each id once, in the order of any `idx`."""
    together = concatenate(parts)
    first: dict[str, int] = {}
    for place, id in enumerate(together.id):
        first.setdefault(id, place)
    places = np.array(list(first.values()), np.int64)
    if "idx" in together.columns:
        places = places[np.argsort(together.idx[places], kind="stable")]
    return together.take(places)


def _values(
    texts: Sequence[str], cells: Mapping[str, Cell], path: pathlib.Path, number: int
) -> list[Any]:
    """Values of a line; an error names the line."""
    if len(texts) != len(cells):
        found = f"found {len(texts)}: {cut(chr(9).join(texts), 200)}"
        raise bad_line(path, number, f"expected {len(cells)} cells, {found}")
    try:
        pairs = zip(cells.items(), texts, strict=True)
        return [cell.read(name, text) for (name, cell), text in pairs]
    except ValueError as error:
        raise bad_line(path, number, str(error)) from error
