"""Tables of clips of a corpus, and the files that they list.

A table may have been saved by a spreadsheet or on another system: a byte order mark,
other line ends, semicolons, blanks around values, TRUE for True. Messages name the line
that cannot be read. A table lists plain file names, so that no table reads files
outside its corpus.
"""

import csv
import io
import json
import math
import os
import pathlib
import posixpath
import re
import unicodedata
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from advjax.runtime.text import printable
from data_prep.corpora.files import contents, entries, is_clip, looks_like_clip, some

DELIMITERS = (",", ";", "\t")
OFFICIAL = "use the table of the official download"
_BEYOND = "\0"  # the column of values after the last column
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(text: str) -> bool:
    """True or False, in the spelling of any program.

    Raises:
        ValueError: the text is neither.
    """
    try:
        return TRUTHS[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither True nor False") from None


def whole_number(text: str) -> int:
    """An integer in ASCII digits.

    Raises:
        ValueError: the text is no integer.
    """
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def plain_name(text: str) -> str:
    """Name of a file, without a path.

    Raises:
        ValueError: a path, a drive, `..` or a NUL.
    """
    if set(text) & set("/\\\0") or text in (".", "..") or re.match("[A-Za-z]:", text):
        raise ValueError(
            f"{text!r} is not a plain file name: a table may only list files in its "
            "folder of clips"
        )
    return text


def relative_path(text: str) -> str:
    """Path of a file below the folder of its table, with slashes.

    Raises:
        ValueError: an absolute path, a drive, a backslash, `..` or a NUL.
    """
    if "\\" in text:
        raise ValueError(f"{text!r} has a backslash: write / between folders")
    absolute = text.startswith(("/", "~")) or re.match("[A-Za-z]:", text)
    if absolute or ".." in text.split("/") or "\0" in text:
        raise ValueError(
            f"{text!r} leads out of the folder: paths must be relative to the table, "
            "without .. in them"
        )
    return posixpath.normpath(text)


def seconds(text: str) -> float:
    """A finite time of 0 s or more.

    Raises:
        ValueError: the text is no such number.
    """
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise ValueError(f"{text!r} is no time in seconds, such as 1.5")
    return value


def read_table(
    path: pathlib.Path,
    columns: Mapping[str, Callable[[str], Any]],
    optional: Mapping[str, Callable[[str], Any]] = MappingProxyType({}),
    *,
    advice: str = OFFICIAL,
) -> list[dict[str, Any]]:
    """Rows of the table at `path`, with the wanted columns converted.

    A file `.jsonl` has an object a line, another one is CSV. Lines without any value
    are skipped. A missing value of an `optional` column is None.

    Args:
        path: of the table.
        columns: converters of the columns that each row needs.
        optional: converters of the columns that the table may lack.
        advice: ends a message about a wrong table.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is not UTF-8, a column is missing or there twice, or a row
            has a missing, wrong or superfluous value.
    """
    shown = printable(str(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"no {shown}: this corpus needs its table of clips, with the columns "
            f"{', '.join(columns)}; give the folder that has it"
            + beside(path, path.parents[1] if len(path.parents) > 1 else path.parent)
        )
    read = _json_table if path.suffix.lower() == ".jsonl" else _csv_table
    names, lines = read(text_of(path), shown, advice)
    if missing := [name for name in columns if name not in names]:
        raise ValueError(
            f"{shown} has no column {', '.join(missing)}; it has "
            f"{printable(', '.join(names)) or 'none'}: {advice}"
        )
    if twice := [n for n in (*columns, *optional) if names.count(n) > 1]:
        raise ValueError(f"{shown} has two columns {', '.join(twice)}: {advice}")
    rows = []
    for line, values in lines:
        needed = {name: values.get(name, "") for name in columns}
        try:
            if _BEYOND in values:
                raise ValueError(
                    f"more than {len(names)} values; put quotes around a value with a "
                    "separator in it"
                )
            if not all(needed.values()):
                raise ValueError("a value is missing")
            row = {name: columns[name](value) for name, value in needed.items()}
            for name, convert in optional.items():
                text = values.get(name, "")
                row[name] = convert(text) if text else None
        except ValueError as error:
            raise ValueError(
                f"{shown}, line {line}: cannot read {needed}: {error}"
            ) from error
        rows.append(row)
    return rows


_Table = tuple[list[str], Iterator[tuple[int, dict[str, str]]]]
"""Names of columns, and (line, values by column) of each row that has any."""


def _csv_table(text: str, shown: str, advice: str) -> _Table:
    header = text.partition("\n")[0]
    # Spreadsheets separate values by a character that depends on the language.
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
    )

    def rows() -> Iterator[tuple[int, list[str]]]:
        try:
            for row in reader:
                yield reader.line_num, [value.strip() for value in row]
        except csv.Error as error:
            raise ValueError(
                f"{shown}, line {reader.line_num}: not a table ({error}); {advice}"
            ) from error

    def values() -> Iterator[tuple[int, dict[str, str]]]:
        for line, row in lines:
            if any(row):
                beyond = "".join(row[len(names) :])
                known = dict(zip(names, row, strict=False))
                yield line, known | ({_BEYOND: beyond} if beyond else {})

    lines = rows()
    names = next(lines, (1, []))[1]
    return names, values()


def _json_table(text: str, shown: str, advice: str) -> _Table:
    rows, names = [], {}
    for line, each in enumerate(text.split("\n"), 1):
        if not each.strip():
            continue
        try:
            row = json.loads(each)
            if not isinstance(row, dict):
                raise ValueError("not an object in braces")
        except (ValueError, RecursionError) as error:
            raise ValueError(
                f"{shown}, line {line}: not a line of JSON ({error}); {advice}"
            ) from error
        names |= dict.fromkeys(row)
        rows.append((line, {name: _json_text(value) for name, value in row.items()}))
    return list(names), iter(rows)


def _json_text(value: Any) -> str:
    """Text of a value, as a cell of CSV has it; a nested one is kept as JSON."""
    if value is None:
        return ""
    return value.strip() if isinstance(value, str) else json.dumps(value)


def has_column(path: pathlib.Path, name: str) -> bool:
    """True if the first line of a table has a word; False without a table."""
    return path.is_file() and name in text_of(path).partition("\n")[0]


def text_of(path: pathlib.Path) -> str:
    """Text of a table, with line ends `\\n`.

    Raises:
        ValueError: the file is not UTF-8.
    """
    data = path.read_bytes()
    shown = printable(str(path))
    if data.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\0" in data[:1000]:
        raise ValueError(
            f"{shown}, line 1: the table is in UTF-16; save it as CSV in UTF-8"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = len((data[: error.start] + b"?").splitlines())
        raise ValueError(
            f"{shown}, line {line}: not UTF-8 (the byte 0x{data[error.start]:02x}); "
            "save the table as CSV in UTF-8"
        ) from error
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    # Spreadsheets may write a line about the separator.
    return re.sub(r"\Asep=.\n", "", text)


def beside(path: pathlib.Path, root: pathlib.Path) -> str:
    """Hint at the right folder, one level up or down, and the contents of `root`."""
    inside = os.path.relpath(path, root)
    below = sorted(root.iterdir()) if root.is_dir() else []
    near = [root.parent, *filter(pathlib.Path.is_dir, below)]
    meant = [each for each in near if (each / inside).is_file()]
    hint = f", which is {printable(str(meant[0]))}" if meant else ""
    return f"{hint}. {contents(root)}" if root.is_dir() else hint


class ClipFiles:
    """Files in the folders of a corpus, compared with the files in its table."""

    def __init__(self, table: pathlib.Path):
        """Start without folders; `table` is for messages."""
        self._table = table
        self._names: dict[pathlib.Path, dict[str, None]] = {}
        self._by_key: dict[pathlib.Path, dict[str, str]] = {}
        self._listed: set[pathlib.Path] = set()
        self._absent: list[str] = []

    def path(self, folder: pathlib.Path, name: str) -> pathlib.Path:
        """Path of the file in a row, in its letter case on disk."""
        self.add(folder)
        found = folder / name
        if name not in self._names[folder]:
            by_key = self._by_key[folder]
            if _key(name) in by_key:
                found = folder / by_key[_key(name)]
            else:
                self._absent.append(name)
        self._listed.add(found)
        return found

    def add(self, folder: pathlib.Path) -> None:
        """Read the names in a folder, once."""
        if folder not in self._names:
            there = entries(folder) if folder.is_dir() else []
            # Files that do not look like clips are kept: a table may list them.
            self._names[folder] = dict.fromkeys(entry.name for entry in there)
            self._by_key[folder] = {_key(name): name for name in self._names[folder]}

    def notes(self) -> tuple[str, ...]:
        """Notes on files that are only in the folders or only in the table."""
        table = printable(str(self._table))
        extra = [
            name
            for folder, names in self._names.items()
            for name in names
            if folder / name not in self._listed
            and (is_clip(name) or looks_like_clip(name))
        ]
        notes = []
        if extra:
            notes.append(f"left out: {some(extra, 'file')} not in {table}")
        if self._absent:
            notes.append(f"absent: {some(self._absent, 'file')} that {table} lists")
        return tuple(notes)


def _key(name: str) -> str:
    """Key of a name: disks differ in letter case and in composed letters."""
    return unicodedata.normalize("NFC", name).lower()


def chosen_classes(
    classes: str | Sequence[str] | None, known: Collection[str], *, where: str = ""
) -> set[str]:
    """Set of the requested classes; None requests all that are `known`.

    Raises:
        ValueError: a class is not known, or none was named; `where` ends the message.
    """
    if classes is None:
        return set(known)
    chosen = {classes} if isinstance(classes, str) else set(classes)
    missing = chosen - set(known)
    if not chosen or missing:
        named = ", ".join(sorted(map(str, missing))) or "(none was named)"
        raise ValueError(
            f"no class {printable(named)}{where}; there are "
            f"{printable(', '.join(sorted(known)))}"
        )
    return chosen
