"""The file between experiments and reports: `rows.tsv`, one line per certified point.

A run of several processes has one `rows-K-of-N.tsv` each instead; read together they
are the same rows.

The columns of Cohen's `certify.py` come first, so that his analysis reads our files,
and `read` reads his:

    idx label predict radius correct time | id p_lower votes n snr_db | radius_wave
    radius_wave_snr_db

Files without the last two are those of earlier versions. Numbers are text; radii and
`p_lower` read back as the same float64. Nothing in a file is evaluated.
"""

import dataclasses
import datetime
import os
import pathlib
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Bool, Float, Int

ROWS_FILE = "rows.tsv"
_SHARD = re.compile(r"rows(-\d+-of-\d+)?\.tsv")
_Columns = TypeVar("_Columns")
_UNKNOWN = {
    "p_lower": "nan",
    "votes": "0",
    "n": "0",
    "snr_db": "nan",
    "radius_wave": "nan",
    "radius_wave_snr_db": "nan",
}


class Row(NamedTuple):
    """One certified point, in the order of the columns."""

    idx: int
    """Its place in the split."""
    label: int
    predict: int
    """The certified class; -1 for an abstention."""
    radius: float
    """In the units of the representation where the noise entered; 0.0 if abstaining."""
    correct: bool
    time: float
    """Seconds spent on this point."""
    id: str
    """The example's name in its records: joins rows across stages and runs."""
    p_lower: float
    """Lower confidence bound on the probability of the certified class."""
    votes: int
    """For the selected class, out of `n` estimation samples."""
    n: int
    snr_db: float
    """20 log10(norm(x) / radius); inf at radius 0, NaN for a radius other than l2."""
    radius_wave: float = float("nan")
    """The radius carried back to the waveform; NaN where no bound allows that."""
    radius_wave_snr_db: float = float("nan")
    """The same with the norm of the waveform."""


COHEN_COLUMNS = Row._fields[:6]
COLUMNS = Row._fields
_READABLE = (COLUMNS, Row._fields[:11], COHEN_COLUMNS)


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The rows of a run as columns; see `Row` for what each one means.

    In a file with Cohen's six columns only, `id` is the idx, `votes` and `n` are 0, and
    all other columns that are missing are NaN.
    """

    idx: Int[np.ndarray, "rows"]
    label: Int[np.ndarray, "rows"]
    predict: Int[np.ndarray, "rows"]
    radius: Float[np.ndarray, "rows"]
    correct: Bool[np.ndarray, "rows"]
    time: Float[np.ndarray, "rows"]
    id: tuple[str, ...]
    p_lower: Float[np.ndarray, "rows"]
    votes: Int[np.ndarray, "rows"]
    n: Int[np.ndarray, "rows"]
    snr_db: Float[np.ndarray, "rows"]
    radius_wave: Float[np.ndarray, "rows"]
    radius_wave_snr_db: Float[np.ndarray, "rows"]

    def __len__(self) -> int:
        """The number of certified points."""
        return len(self.id)


class Run(NamedTuple):
    """The rows of a run with what a table or a figure says about them."""

    label: str
    rows: Rows
    cap: float = float("inf")
    """The largest radius that the run could have certified: no vote was missing."""


def read(path: str | os.PathLike[str]) -> Rows:
    """The rows of a run folder, of one of its files, or of a file by Cohen's program.

    Of a folder, those of all processes, in the order of `idx`. A last line that is
    still being written, or was cut short, is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the columns or a line are not as expected; the line is named.
    """
    return read_merged(path, parse, COLUMNS, advice="certify something first")


def read_merged(
    path: str | os.PathLike[str],
    parse: Callable[[bytes, pathlib.Path], _Columns],
    columns: Sequence[str],
    *,
    advice: str,
) -> _Columns:
    """The rows of a file, or those of all files of a run folder: each id once, by idx.

    Args:
        path: a run folder or a file.
        parse: the rows in the bytes of one file, as columns.
        columns: their names.
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


def parse(content: bytes, path: pathlib.Path) -> Rows:
    """The rows in the text of a file; what follows its last newline is left out.

    Args:
        content: the bytes of the file.
        path: its name, for messages.

    Raises:
        ValueError: the columns or a line are not as expected; the line is named.
    """
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    columns = tuple(lines[0].rstrip("\r").split("\t"))
    if columns not in _READABLE:
        raise ValueError(
            f"{path} line 1: expected the columns {' '.join(COLUMNS)}, or the first "
            f"{len(COHEN_COLUMNS)}, separated by tabs; found {lines[0][:200]!r}"
        )
    rows = []
    # What follows the last newline is empty or a line cut short.
    for number, line in enumerate(lines[1:-1], start=2):
        cells = line.rstrip("\r").split("\t")
        if len(cells) != len(columns):
            raise ValueError(
                f"{path} line {number}: expected {len(columns)} cells, "
                f"found {len(cells)}: {line[:200]!r}"
            )
        named = {"id": cells[0], **_UNKNOWN, **dict(zip(columns, cells, strict=True))}
        try:
            rows.append(tuple(_READ[column](named[column]) for column in COLUMNS))
        except ValueError as error:
            raise ValueError(f"{path} line {number}: {error}") from error
    values = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    by_column = dict(zip(COLUMNS, values, strict=True))
    return Rows(
        **{
            column: value if column == "id" else np.array(value, _DTYPES[column])
            for column, value in by_column.items()
        }
    )


def _seconds(text: str) -> float:
    """Seconds from `13.7` or from `0:00:13.736080`, as Cohen's files have both."""
    seconds = 0.0
    for part in text.split(":"):
        seconds = 60 * seconds + float(part)
    return seconds


def _integer(text: str) -> int:
    value = int(text)
    if abs(value) >= 2**63:
        raise ValueError(f"{text} is too large for a count or a class")
    return value


def _zero_or_one(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError(f"correct must be 0 or 1, found {text!r}")
    return text == "1"


_READ = {
    "idx": _integer,
    "label": _integer,
    "predict": _integer,
    "radius": float,
    "correct": _zero_or_one,
    "time": _seconds,
    "id": str,
    "p_lower": float,
    "votes": _integer,
    "n": _integer,
    "snr_db": float,
    "radius_wave": float,
    "radius_wave_snr_db": float,
}
_DTYPES = {
    column: {_integer: np.int64, _zero_or_one: np.bool_}.get(reader, np.float64)
    for column, reader in _READ.items()
}
HEADER = ("\t".join(COLUMNS) + "\n").encode()


class RowFormat(NamedTuple):
    """How rows of one kind become the lines of a `rows.tsv`.

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


def line_of(row: Row) -> bytes:
    """The line of a row, newline included.

    Raises:
        ValueError: the id has a tab or a line break, or the time is not a number.
    """
    if set(row.id) & set("\t\n\r"):
        raise ValueError(
            f"the id {row.id!r} has a tab or a line break: rename the clip"
        )
    cells = row._replace(
        idx=int(row.idx),
        label=int(row.label),
        predict=int(row.predict),
        # repr is the shortest text that reads back as the same float64.
        radius=repr(float(row.radius)),
        correct=int(row.correct),
        time=_clock(float(row.time)),
        p_lower=repr(float(row.p_lower)),
        votes=int(row.votes),
        n=int(row.n),
        snr_db=f"{float(row.snr_db):.4f}",
        radius_wave=repr(float(row.radius_wave)),
        radius_wave_snr_db=f"{float(row.radius_wave_snr_db):.4f}",
    )
    line = "\t".join(map(str, cells)) + "\n"
    return line.encode("utf-8", errors="surrogateescape")


def _clock(seconds: float) -> str:
    """`h:mm:ss.ffffff`, as Cohen's `certify.py` prints a time span."""
    microseconds = datetime.timedelta(seconds=seconds) // datetime.timedelta(
        microseconds=1
    )
    whole, fraction = divmod(microseconds, 1_000_000)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}.{fraction:06d}"


CERTIFICATES = RowFormat(
    HEADER, line_of, lambda content, path: parse(content, path).id, "certify"
)
"""Rows of certified points, as this module writes them."""
