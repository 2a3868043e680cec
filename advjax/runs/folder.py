"""A run being written: a folder with `rows.tsv`, and `run.json` beside it.

Several processes that write one run have a file of rows each, `rows-K-of-N.tsv`. What
is done is what any file has, so a run goes on with as many processes as there are.

`run.json` has two blocks: `settings`, which decide what the rows are, and `environment`
(versions, device, date), which only tells where they came from. A folder is continued
with equal settings and refused with others, so that no file mixes two experiments.

Rows are whole or absent: each is on disk before `append` returns, a line cut short by a
kill is dropped when the run is opened again, and a full disk leaves the rows before it.
"""

import contextlib
import errno
import json
import os
import pathlib
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

import numpy as np

from advjax.runs.columns import Rows, bad_line
from advjax.runs.descriptions import RUN_FILE, description
from advjax.runs.row_types import CERTIFICATES
from advjax.runs.rows import Schema, shard_name, shards
from advjax.runs.run_folders import check_run_folder
from advjax.runtime.atomic import new_file
from advjax.runtime.locks import lock_folder, try_lock
from advjax.runtime.text import printable


class RunFolder:
    """A run that is being written: made by `open_run`, closed as a context manager.

    Attributes:
        folder: where the run lives.
        done: ids of the points that have a row: those of all processes before this
            start, and this one's since.
    """

    def __init__(self, path: pathlib.Path, file: Any, done: set[str], schema: Schema):
        """A run at work; `open_run` makes it."""
        self.folder = path.parent
        self.done = done
        self._path = path
        self._file = file
        self._schema = schema

    def append(self, row: Any) -> None:
        """Nothing; the row is on disk when this returns.

        Raises:
            ValueError: the id already has a row, or cannot stand in a TSV file.
            OSError: the disk is full or failing; earlier rows are safe.
        """
        if row.id in self.done:
            raise ValueError(f"point {row.id!r} already has a row in {self.folder}")
        self._write(self._schema.line(row))
        self.done.add(row.id)

    def rows(self) -> Rows:
        """Every row so far, those of earlier starts of the run included."""
        return self._schema.read(self.folder)

    def _write(self, line: bytes) -> None:
        begin = self._file.tell()
        try:
            left = memoryview(line)
            while left:
                left = left[self._file.write(left) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            # Cutting back can fail too; then opening the run again drops the cut line.
            with contextlib.suppress(OSError):
                self._file.truncate(begin)
                self._file.seek(begin)
            raise OSError(
                error.errno,
                f"a row could not be written ({error.strerror}). The {len(self.done)} "
                "rows so far are safe; make room and run the same command again: it "
                "continues from there",
                str(self._path),
            ) from error

    def close(self) -> None:
        """Nothing; lets another process continue the run."""
        self._file.close()

    def __enter__(self) -> "RunFolder":
        """The run itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Nothing; closes the run, also after an error."""
        self.close()


def open_run(
    folder: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    schema: Schema = CERTIFICATES,
    shard: tuple[int, int] = (0, 1),
    ids: Collection[str] | None = None,
) -> RunFolder:
    """A run ready for `append`: a new folder, or one that an earlier start left.

    Args:
        folder: the run's own folder; made if missing.
        settings: all that decides what the rows are, as JSON values (nested dicts are
            fine, NumPy scalars and paths are converted). Compared on resuming.
        environment: where the rows come from: versions, device, date. Not compared; a
            later start that differs is added to the list `resumed` in `run.json`.
        schema: the rows of the run.
        shard: (index, count) of this process among those that write the run together.
        ids: those that a row of this run can have; None for any.

    Returns:
        The open run. It holds a lock until closed: one start writes a run at a time.

    Raises:
        ValueError: the folder has a run with other settings (all of them are named), or
            of another kind, or files that are not a run's, or rows of other ids.
        BlockingIOError: another process is writing this run.
        OSError: the disk is full or failing, or the folder cannot be read and written.
    """
    folder = pathlib.Path(folder)
    check_run_folder(folder, schema)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / shard_name(*shard)
    # Not "a": on a full disk the file is cut back to its last whole line.
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    try:
        _lock(file, folder)
        _refuse_other_starts(folder, shard[1])
        content = file.read()
        whole = _whole_lines(content, path, schema)
        done = _done(whole, path, schema, ids)
        others = [other for other in shards(folder) if other != path]
        for other in others:
            lines = _whole_lines(other.read_bytes(), other, schema)
            done |= _done(lines, other, schema, ids)
        with lock_folder(folder):
            _settle_description(
                folder,
                _plain(settings),
                _plain(environment),
                kind=schema.kind,
                has_rows=bool(done),
            )
        run = RunFolder(path, file, done, schema)
        file.truncate(len(whole))
        file.seek(len(whole))
        if not whole:
            run._write(schema.header)
    except BaseException:
        file.close()
        raise
    return run


def _done(
    lines: bytes,
    path: pathlib.Path,
    schema: Schema,
    known: Collection[str] | None,
) -> set[str]:
    """The ids in whole lines; one that is not known is an error."""
    found = schema.ids(lines or schema.header, path)
    strange = () if known is None else set(found) - set(known)
    for number, id in enumerate(found, start=2):
        if id in strange:
            raise bad_line(path, number, f"this run has no point {printable(id)!r}")
    return set(found)


def _whole_lines(content: bytes, path: pathlib.Path, schema: Schema) -> bytes:
    """`content` up to its last whole row; columns of another kind are refused."""
    if schema.begins(content):
        whole = content[: content.rfind(b"\n") + 1]
        # Blank lines at the end, as editors leave them, would be between rows.
        end = len(whole.rstrip(b"\r\n"))
        return whole[: whole.find(b"\n", end) + 1]
    raise ValueError(
        f"{path} has other columns than this program writes, so it cannot be "
        "continued; choose another --workdir"
    )


def _refuse_other_starts(folder: pathlib.Path, count: int) -> None:
    """Nothing; refuses a folder that a start with another count is still writing.

    One with the same count holds the lock of this process's own file.
    """
    ours = {shard_name(index, count) for index in range(count)}
    for path in shards(folder):
        if path.name not in ours:
            with path.open("r+b") as file:
                _lock(file, folder)


def _lock(file: Any, folder: pathlib.Path) -> None:
    if not try_lock(file):
        raise BlockingIOError(
            errno.EWOULDBLOCK,
            "another process is writing this run; wait for it, or choose another "
            "--workdir",
            str(folder),
        )


def _settle_description(
    folder: pathlib.Path,
    settings: dict,
    environment: dict,
    *,
    kind: str,
    has_rows: bool,
) -> None:
    """Nothing; writes `run.json`, or refuses settings that differ from it."""
    path = folder / RUN_FILE
    if not path.exists():
        if has_rows:
            raise ValueError(
                f"{folder} has rows but no {RUN_FILE}, so nothing says which settings "
                "they belong to; choose another --workdir"
            )
        with contextlib.suppress(FileExistsError):
            first = {"kind": kind, "settings": settings, "environment": environment}
            with new_file(path, replace=False) as aside:
                aside.write_text(_json(first), encoding="utf-8")
            return
        # Another process was faster: its settings are compared like an earlier start's.
    found = description(folder)
    there, here = _flat(found["settings"]), _flat(settings)
    differing = [
        f"  {name}: {there.get(name, '(absent)')!r} there, "
        f"{here.get(name, '(absent)')!r} now"
        for name in sorted(there.keys() | here.keys())
        if name not in there or name not in here or there[name] != here[name]
    ]
    if differing:
        raise ValueError(
            f"{folder} holds a run with other settings:\n" + "\n".join(differing) + "\n"
            "Rows of different settings are never mixed: choose another --workdir, or "
            "remove that one."
        )
    if environment not in (found["environment"], *found["resumed"]):
        resumed = [*found["resumed"], environment]
        with new_file(path) as aside:
            aside.write_text(_json({**found, "resumed": resumed}), encoding="utf-8")


def _plain(block: Mapping[str, Any]) -> dict[str, Any]:
    """The block as it will read back from JSON: tuples become lists, and so on."""

    def convert(value: Any) -> Any:
        if isinstance(value, np.generic | np.ndarray):
            return value.tolist()
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        raise TypeError(f"a run is described by JSON values; {value!r} is none of them")

    return json.loads(json.dumps(dict(block), default=convert, allow_nan=False))


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Every setting under its dotted name, so that a difference can be pointed at."""
    if not isinstance(value, dict) or (name and not value):
        return {name: value}
    flat = {}
    for key, inner in value.items():
        flat |= _flat(inner, f"{name}.{key}" if name else str(key))
    return flat


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=2) + "\n"
