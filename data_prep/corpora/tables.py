"""Tables of clips as corpora bring them, and the files that they list.

A table may have been saved by a spreadsheet or on another system: a byte order mark,
other line ends, semicolons, blanks around values, TRUE for True. What cannot be read is
named with its line. A file is listed by its plain name, so that no table reads what is
outside its corpus.
"""

import csv
import io
import os
import pathlib
import re
import unicodedata
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from advjax.runtime.text import printable
from data_prep.corpora.files import contents, entries, is_clip, looks_like_clip, some

DELIMITERS = (",", ";", "\t")
TRUTHS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}


def truth(text: str) -> bool:
    """True or False, in the spelling of any program.

    Raises:
        ValueError: it is neither.
    """
    try:
        return TRUTHS[text.lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither True nor False") from None


def whole_number(text: str) -> int:
    """An integer in ASCII digits.

    Raises:
        ValueError: it is none.
    """
    if not re.fullmatch(r"[+-]?[0-9]+", text):
        raise ValueError(f"{text!r} is not a whole number")
    return int(text)


def plain_name(text: str) -> str:
    """The name of a file, which leads nowhere else.

    Raises:
        ValueError: a path, a drive, `..` or a NUL.
    """
    if set(text) & set("/\\\0") or text in (".", "..") or re.match("[A-Za-z]:", text):
        raise ValueError(
            f"{text!r} is not a plain file name, and a table may not lead out of its "
            "folder of clips"
        )
    return text


def read_table(
    path: pathlib.Path, columns: Mapping[str, Callable[[str], Any]]
) -> list[dict[str, Any]]:
    """The rows of the table at `path`, each wanted column read by its type.

    Lines without any value are left out.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is not UTF-8, a column is missing, or a row lacks a value or has
            one of another type.
    """
    shown = printable(str(path))
    if not path.is_file():
        raise FileNotFoundError(
            f"no {shown}: this corpus is read by its table of clips, with the columns "
            f"{', '.join(columns)}; give the folder that holds it"
            + beside(path, path.parents[1] if len(path.parents) > 1 else path.parent)
        )
    text = _text(path)
    header = text.partition("\n")[0]
    # A spreadsheet separates by what its language leaves free.
    delimiter = max(DELIMITERS, key=header.count)
    reader = csv.reader(
        io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True
    )
    try:
        names = [name.strip() for name in next(reader, [])]
        missing = [name for name in columns if name not in names]
        if missing:
            raise ValueError(
                f"{shown} has no column {', '.join(missing)}; it has "
                f"{printable(', '.join(names)) or 'none'}: take the table of the "
                "official download"
            )
        rows = []
        for row in reader:
            values = [value.strip() for value in row]
            if not any(values):
                continue
            values = dict(zip(names, values, strict=False))
            values = {name: values.get(name, "") for name in columns}
            try:
                if not all(values.values()):
                    raise ValueError("a value is missing")
                rows.append({name: columns[name](values[name]) for name in columns})
            except ValueError as error:
                raise ValueError(
                    f"{shown}, line {reader.line_num}: cannot read {values}: {error}"
                ) from error
    except csv.Error as error:
        raise ValueError(
            f"{shown}, line {reader.line_num}: not a table ({error}); take the table "
            "of the official download"
        ) from error
    return rows


def has_column(path: pathlib.Path, name: str) -> bool:
    """True if the first line of a table has a word; False without a table."""
    return path.is_file() and name in _text(path).partition("\n")[0]


def _text(path: pathlib.Path) -> str:
    """The text of a table."""
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
    # A line of a spreadsheet about its separator.
    return re.sub(r"\Asep=.\n", "", text)


def beside(path: pathlib.Path, root: pathlib.Path) -> str:
    """The folder that was meant where it is one up or down, and what is in `root`."""
    inside = os.path.relpath(path, root)
    near = [root.parent, *sorted(each for each in _folders(root) if each.is_dir())]
    meant = [each for each in near if (each / inside).is_file()]
    hint = f", which is {printable(str(meant[0]))}" if meant else ""
    return f"{hint}. {contents(root)}" if root.is_dir() else hint


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    return list(root.iterdir()) if root.is_dir() else []


class ClipFiles:
    """The files in the folders of a corpus, and which of them its table lists."""

    def __init__(self, table: pathlib.Path):
        """No folder yet; `table` is for messages."""
        self._table = table
        self._names: dict[pathlib.Path, dict[str, str]] = {}
        self._listed: set[pathlib.Path] = set()
        self._absent: list[str] = []

    def path(self, folder: pathlib.Path, name: str) -> pathlib.Path:
        """The file that a row lists, in the case of letters that it has on the disk."""
        there = self.add(folder)
        found = folder / name
        if name not in there.values():
            if _key(name) in there:
                found = folder / there[_key(name)]
            else:
                self._absent.append(name)
        self._listed.add(found)
        return found

    def add(self, folder: pathlib.Path) -> dict[str, str]:
        """Take in the files of a folder; its names by what compares them."""
        if folder not in self._names:
            there = entries(folder) if folder.is_dir() else []
            # What is no clip by its name stays a file that a table may list.
            self._names[folder] = {_key(entry.name): entry.name for entry in there}
        return self._names[folder]

    def notes(self) -> tuple[str, ...]:
        """Files that are in the folders or in the table, and not in both."""
        table = printable(str(self._table))
        extra = [
            name
            for folder, names in self._names.items()
            for name in names.values()
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
    """The name as it compares: disks differ in case and in composed letters."""
    return unicodedata.normalize("NFC", name).lower()


def chosen_classes(
    classes: str | Sequence[str] | None, known: Collection[str], *, where: str = ""
) -> set[str]:
    """The classes that were asked for; None asks for all that are `known`.

    Raises:
        ValueError: one is not known, or none was named; `where` says of what.
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
