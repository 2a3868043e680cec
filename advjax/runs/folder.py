"""Folders of runs that are being written: `rows.tsv`, with `run.json` beside it.

If several processes write one run, each has its own file of rows, `rows-K-of-N.tsv`. A
point is done when any of the files has its row, so a run continues with any number of
processes.

A folder is continued with equal settings and refused with others, so that no file mixes
two experiments.

Rows are whole or absent: each is on disk before `append` returns. A line cut short by a
kill is dropped when the run is opened again, and a full disk leaves the rows before it.
"""

import contextlib
import errno
import os
import pathlib
from collections.abc import Collection, Mapping
from types import TracebackType
from typing import Any

from advjax.runs.columns import Rows, bad_line
from advjax.runs.descriptions import RUN_FILE, as_written, description, kind_of, settle
from advjax.runs.row_types import CERTIFICATES, SCHEMAS
from advjax.runs.rows import Schema, shard_name, shards
from advjax.runtime.damage import Damaged
from advjax.runtime.locks import lock_folder, try_lock
from advjax.runtime.text import printable

_ANOTHER = "give a new folder, or that of a run to continue"
_KEYS = {"settings", "environment", "resumed", "kind"}
_HOME = {
    "records", "classifiers", "clips", "certify", "attack", "comparisons", "compiled",
    "radii", "shifts", "tensorboard",
}  # fmt: skip
"""Folders of a home, which may also be the folder of a run."""


def num_missing(folder: str | os.PathLike[str]) -> int:
    """Number of a run's points that have no row yet, from any process."""
    found = description(folder)
    rows = SCHEMAS[kind_of(found)].read(folder)
    return found["settings"]["num_points"] - len(rows)


class RunFolder:
    """A run that is being written; `open_run` makes it, its context closes it.

    Attributes:
        folder: of the run.
        done: ids of the points that have a row, from all processes before this start
            and from this one since.
    """

    def __init__(self, path: pathlib.Path, file: Any, done: set[str], schema: Schema):
        """Wrap an open file of rows; `open_run` calls this."""
        self.folder = path.parent
        self.done = done
        self._path = path
        self._file = file
        self._schema = schema

    def append(self, row: Any) -> None:
        """Write a row; it is on disk when the call returns.

        Raises:
            ValueError: the id already has a row, or a text has a tab or line break.
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
            # Cutting back can fail too; then the next start drops the cut line.
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
        """Close the file and release its lock."""
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
        """Close the run, also after an error."""
        self.close()


def open_run(
    folder: str | os.PathLike[str],
    *,
    settings: Mapping[str, Any],
    environment: Mapping[str, Any],
    schema: Schema = CERTIFICATES,
    shard: tuple[int, int] = (0, 1),
    ids: Collection[str] | None = None,
    argument: str = "folder",
) -> RunFolder:
    """Open a run for `append`: a new folder, or one that an earlier start left.

    Args:
        folder: of the run; made if missing.
        settings: everything that decides the rows, as JSON values (nested dicts are
            fine, NumPy scalars and paths are converted). Compared on resuming.
        environment: where the rows come from: versions, device, date. Not compared; a
            later one that differs is added to the list `resumed` in `run.json`.
        schema: of the rows.
        shard: (index, count) of this process among those that write the run together.
        ids: those that a row of this run can have; None for any.
        argument: name of the argument or flag that gave the folder, for messages.

    Returns:
        The open run. It holds a lock until closed: one start at a time writes a run.

    Raises:
        ValueError: the folder has a run with other settings (the message names all of
            them) or of another kind, other files, or rows of other ids.
        BlockingIOError: another process is writing this run.
        OSError: the disk is full or failing, or the folder cannot be read and written.
    """
    folder = pathlib.Path(folder)
    check_run_folder(folder, schema, argument=argument)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / shard_name(*shard)
    # Not "a": on a full disk the file is cut back to its last whole line.
    file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+b", buffering=0)
    try:
        _lock(file, folder, argument)
        _refuse_other_starts(folder, shard[1], argument)
        content = file.read()
        schema = schema.like(content)
        whole = _whole_lines(content, path, schema, argument)
        done = _done(whole, path, schema, ids)
        others = [other for other in shards(folder) if other != path]
        for other in others:
            content = other.read_bytes()
            lines = _whole_lines(content, other, schema.like(content), argument)
            done |= _done(lines, other, schema, ids)
        with lock_folder(folder):
            settle(
                folder,
                settings,
                environment,
                kind=schema.kind,
                has_rows=bool(done),
                argument=argument,
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
    """Ids in whole lines; an id that is not known is an error."""
    found = schema.ids(lines or schema.header, path)
    strange = () if known is None else set(found) - set(known)
    for number, id in enumerate(found, start=2):
        if id in strange:
            raise bad_line(path, number, f"this run has no point {printable(id)!r}")
    return set(found)


def _whole_lines(
    content: bytes, path: pathlib.Path, schema: Schema, argument: str
) -> bytes:
    """`content` up to its last whole row; other columns are refused."""
    if schema.begins(content):
        whole = content[: content.rfind(b"\n") + 1]
        # Blank lines at the end, which editors add, would be between rows.
        end = len(whole.rstrip(b"\r\n"))
        return whole[: whole.find(b"\n", end) + 1]
    raise ValueError(
        f"{path} has other columns than this program writes, so it cannot be "
        f"continued; choose another {argument}"
    )


def _refuse_other_starts(folder: pathlib.Path, count: int, argument: str) -> None:
    """Refuse a folder that a start with another count is still writing.

    A start with the same count holds the lock of this process's own file.
    """
    ours = {shard_name(index, count) for index in range(count)}
    for path in shards(folder):
        if path.name not in ours:
            with path.open("r+b") as file:
                _lock(file, folder, argument)


def _lock(file: Any, folder: pathlib.Path, argument: str) -> None:
    if not try_lock(file):
        raise BlockingIOError(
            errno.EWOULDBLOCK,
            "another process is writing this run; wait for it, or choose another "
            f"{argument}",
            str(folder),
        )


def check_run_folder(
    folder: str | os.PathLike[str], schema: Schema, *, argument: str = "folder"
) -> None:
    """Check that a run may be written into a folder, without writing anything.

    A run may begin in a folder that is missing or empty, and continue in the folder of
    a run of the same kind. `open_run` compares the settings.

    Args:
        folder: of the run.
        schema: of the rows.
        argument: name of the argument or flag that gave the folder, for messages.

    Raises:
        ValueError: the folder holds other files, or a run of another kind.
        OSError: the folder is a file, or it cannot be read or written.
    """
    folder = pathlib.Path(folder)
    shown = f"{argument}={printable(str(folder))}"
    names = _names(folder, shown)
    if names is None:
        return
    files = shards(folder)
    # Rows before `run.json`: another process writes them in the other order.
    contents = [(file, _beginning(file)) for file in files]
    if os.path.lexists(folder / RUN_FILE):
        _check_description(folder, schema, shown)
        return
    for file, content in contents:
        if not schema.like(content).begins(content):
            raise ValueError(
                f"{printable(str(file))} has other columns than this program writes, "
                f"so it cannot be continued: {_ANOTHER}"
            )
        if schema.has_rows(content):
            raise ValueError(
                f"{shown} has rows but no {RUN_FILE}, so their settings are unknown: "
                f"{_ANOTHER}"
            )
    # Hidden files are being written by a process, or belong to no program.
    ours = {file.name for file in files} | _HOME
    others = [n for n in names if n not in ours and not n.startswith(".")]
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise ValueError(
            f"{shown} is not empty and holds no run ({printable(others[0])}{more} is "
            f"there): {_ANOTHER}"
        )


def _names(folder: pathlib.Path, shown: str) -> list[str] | None:
    """Names in a writable folder; None if there is no folder yet."""
    nearest = folder.absolute()
    try:
        # A broken link exists, too, and no folder can be made in its place.
        while not os.path.lexists(nearest):
            nearest = nearest.parent
        if not nearest.is_dir():
            at = "it" if nearest == folder.absolute() else printable(str(nearest))
            raise NotADirectoryError(f"{shown}: {at} is not a folder: {_ANOTHER}")
        names = sorted(os.listdir(nearest))
        if not os.access(nearest, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except NotADirectoryError as error:
        if error.errno is None:
            raise
        raise NotADirectoryError(f"{shown} lies in a file: {_ANOTHER}") from error
    except OSError as error:
        raise type(error)(
            f"{shown} cannot be read and written ({error.strerror}): change its "
            "permissions, or give another folder"
        ) from error
    return names if nearest == folder.absolute() else None


def _beginning(path: pathlib.Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 16)


def _check_description(folder: pathlib.Path, schema: Schema, shown: str) -> None:
    try:
        found = as_written(folder)
    except Damaged as error:
        raise ValueError(f"{shown} holds no run of advjax: {error}") from error
    # Earlier versions wrote these keys and no other, beside rows.
    old = {"settings", "environment"} <= set(found) <= _KEYS and shards(folder)
    if "kind" not in found and not old:
        raise ValueError(
            f"{shown} has a {RUN_FILE} that advjax did not write: {_ANOTHER}"
        )
    kind = kind_of(found)
    if kind not in (None, schema.kind):
        raise ValueError(
            f"{shown} holds a run of {printable(kind)}, not of {schema.kind}: "
            f"{_ANOTHER}"
        )
