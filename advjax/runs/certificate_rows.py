"""The file between experiments and reports: `rows.tsv`, one line per certified point.

A run of several processes has one `rows-K-of-N.tsv` each instead; read together they
are the same rows.

The columns of Cohen's `certify.py` come first, so that his analysis reads our files,
and `read` reads his and those of programs made from it, with or without the time:

    idx label predict radius correct time | id p_lower votes n snr_db | radius_wave
    radius_wave_snr_db

Files without the last two are those of earlier versions. Numbers are text; radii and
`p_lower` read back as the same float64. Nothing in a file is evaluated.
"""

import contextlib
import dataclasses
import datetime
import math
import os
import pathlib
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from advjax.runs import fields
from advjax.runs.descriptions import RUN_FILE, description
from advjax.runs.shards import RowFormat as RowFormat
from advjax.runs.shards import read_merged
from advjax.runs.shards import shard_name as shard_name
from advjax.runs.shards import shards as shards
from advjax.runtime.text import printable


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
_READABLE = (COLUMNS, Row._fields[:11], COHEN_COLUMNS, COHEN_COLUMNS[:5])


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


def check_consistency(rows: Rows, path: pathlib.Path) -> None:
    """Refuse rows of a file whose numbers contradict each other.

    Raises:
        ValueError: there is one; its line is named.
    """
    right = rows.predict == rows.label
    fields.refuse(
        path,
        rows.correct != right,
        lambda i: (
            f"correct is {int(rows.correct[i])} where the label is {rows.label[i]} and "
            f"the prediction {rows.predict[i]}"
        ),
    )
    fields.refuse(
        path,
        (rows.predict == -1) & (rows.radius > 0),
        lambda i: f"the radius of an abstention is {rows.radius[i]:g}, not 0",
    )
    fields.refuse(
        path,
        rows.votes > rows.n,
        lambda i: f"{rows.votes[i]} votes of {rows.n[i]}",
    )
    if rows.n.any():  # another program's rows have no ids of their own
        fields.refuse_doubles(path, rows.id)


class Run(NamedTuple):
    """The rows of a run with what a table or a figure says about them."""

    label: str
    rows: Rows
    cap: float = float("inf")
    """The largest radius that the run could have certified: no vote was missing."""
    alpha: float | None = None
    """Failure probability of each certificate, where it is known."""


def read(path: str | os.PathLike[str]) -> Rows:
    """The rows of a run folder, of one of its files, or of a file by Cohen's program.

    Of a folder, those of all processes, in the order of `idx`, which must not
    contradict the settings in its `run.json`. A last line that is still being written,
    or was cut short, is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the columns or a line are not as expected, or the numbers of a line
            contradict each other; the line is named.
    """
    path = pathlib.Path(path)
    check = check_consistency
    if path.is_dir() and os.path.lexists(path / RUN_FILE):
        # Here, because it needs JAX, and those who begin a run do not.
        from advjax.runs.certificate_checks import check_certificates

        settings = description(path)["settings"]

        def check(rows: Rows, file: pathlib.Path) -> None:
            check_consistency(rows, file)
            check_certificates(rows, file, settings)

    return read_merged(path, parse, COLUMNS, check, advice="certify something first")


def parse(content: bytes, path: pathlib.Path) -> Rows:
    """The rows in the text of a file.

    What follows its last newline is left out. Where the columns are Cohen's, and the
    last line another program's, it counts if only digits of its time can be missing.

    Args:
        content: the bytes of the file.
        path: its name, for messages.

    Raises:
        ValueError: the columns or a line are not as expected; the line is named.
    """
    (header, *lines), rest = fields.lines(content)
    columns = tuple(header.split("\t"))
    if columns not in _READABLE or b"\n" not in content:
        raise ValueError(
            f"{printable(str(path))} line 1: expected the columns {' '.join(COLUMNS)}, "
            f"or the first {len(COHEN_COLUMNS)}, separated by tabs; found "
            f"{header[:200]!r}"
        )
    ours = len(columns) > len(COHEN_COLUMNS)
    readers = {name: (FIELDS if ours else _COHEN_FIELDS)[name] for name in columns}
    if not ours:
        with contextlib.suppress(ValueError):
            fields.table([rest], readers, path)
            lines.append(rest)
    found = fields.columns(fields.table(lines, readers, path), readers)
    absent = {
        name: np.full(len(lines), _ABSENT[name], FIELDS[name].dtype)
        for name in set(COLUMNS) - set(columns) - {"id"}
    }
    found.setdefault("id", tuple(map(str, found["idx"].tolist())))
    return Rows(**absent, **found)


_ANY = ("nan", "inf", "-inf")
FIELDS: dict[str, fields.Field] = {
    "idx": fields.Whole(),
    "label": fields.Whole(),
    "predict": fields.Whole(low=-1),
    "radius": fields.Real(low=0),
    "correct": fields.Flag(),
    "time": fields.Seconds(),
    "id": fields.Name(),
    "p_lower": fields.Real(low=0, high=1),
    "votes": fields.Whole(),
    "n": fields.Whole(),
    "snr_db": fields.Real(words=_ANY),
    "radius_wave": fields.Real(low=0, words=("nan",)),
    "radius_wave_snr_db": fields.Real(words=_ANY),
}
"""The reader of each column."""
_COHEN_FIELDS = {**FIELDS, "correct": fields.Flag(foreign=True)}
_ABSENT = {
    "time": math.nan,
    "p_lower": math.nan,
    "votes": 0,
    "n": 0,
    "snr_db": math.nan,
    "radius_wave": math.nan,
    "radius_wave_snr_db": math.nan,
}
"""Values of the columns that a file does not have."""
HEADER = ("\t".join(COLUMNS) + "\n").encode()


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


def _checked_ids(content: bytes, path: pathlib.Path) -> tuple[str, ...]:
    rows = parse(content, path)
    check_consistency(rows, path)
    return rows.id


CERTIFICATES = RowFormat(HEADER, line_of, _checked_ids, "certify")
"""Rows of certified points, as this module writes them."""
