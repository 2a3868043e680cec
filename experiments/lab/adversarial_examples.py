"""Adversarial examples of a run: `x_adv.npy`, [points, *features] in float32.

Where points differ in their shape, each has a file `x_adv/ID.npy`.

A process of several writes `x_adv-K-of-N.npy`, in which the points of the others are
left at zero. The file has its full size from the start, and examples are written, not
mapped: on a full disk a mapped file ends the process.
"""

import contextlib
import errno
import math
import os
import pathlib
import re
from collections.abc import Mapping
from typing import BinaryIO

import numpy as np
from jaxtyping import Float

from advjax.runs.columns import Rows
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import shards
from advjax.runtime.atomic import new_file
from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

EXAMPLES_FILE = "x_adv.npy"
EXAMPLES_FOLDER = "x_adv"
_DTYPE = np.dtype("<f4")
_CHUNK = 1 << 20


class ExampleFile:
    """The examples of one process, open for writing."""

    def __init__(
        self,
        path: pathlib.Path,
        shape: tuple[int, ...],
        position: Mapping[str, int],
    ):
        """The file at `path`, made of zeros if it is missing.

        Args:
            path: the file.
            shape: [points, *features].
            position: each point's number among the points of the run.

        Raises:
            Damaged: what is there has another shape or type, or another size.
            OSError: the disk has no room for it.
        """
        self._path = path
        self._position = position
        self._size = _DTYPE.itemsize * math.prod(shape[1:])
        if not os.path.lexists(path):
            _make(path, shape)
        self._file = path.open("r+b", buffering=0)
        try:
            self._begin = _check(self._file, path, shape)
        except BaseException:
            self._file.close()
            raise

    def write(self, id: str, x_adv: Float[np.ndarray, "*features"]) -> None:
        """Put the example of a point on the disk.

        Raises:
            OSError: the disk is full or failing.
        """
        content = memoryview(np.ascontiguousarray(x_adv, _DTYPE).tobytes())
        with _told(self._path):
            self._file.seek(self._begin + self._position[id] * self._size)
            while content:
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())

    def __enter__(self) -> "ExampleFile":
        """The file itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()


class ExampleFolder:
    """The examples of points that differ in their shape, open for writing."""

    def __init__(self, folder: pathlib.Path):
        """The folder, made if it is missing."""
        folder.mkdir(exist_ok=True)
        self._folder = folder

    def write(self, id: str, x_adv: Float[np.ndarray, "*features"]) -> None:
        """Put the example of a point on the disk.

        Raises:
            OSError: the disk is full or failing.
        """
        path = self._folder / f"{file_name(id)}.npy"
        with _told(path), new_file(path) as aside, aside.open("wb") as file:
            np.save(file, x_adv)

    def __enter__(self) -> "ExampleFolder":
        """The folder itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the folder as it is."""


def file_name(id: str) -> str:
    """A point's id as the name of a file."""
    return re.sub(r"[^\w.-]", "_", id)


def open_examples(
    path: pathlib.Path,
    shape: tuple[int, ...],
    *,
    position: Mapping[str, int],
    has_rows: bool,
) -> ExampleFile:
    """Open the examples of one process, or make them anew if nothing needs them yet.

    Args:
        path: the file.
        shape: [points, *features].
        position: each point's number among the points of the run.
        has_rows: the process has rows from an earlier start, so that examples in the
            file are needed.

    Raises:
        Damaged: the file is not one of these examples, and rows need it.
        OSError: rows need it and it is missing, or the disk has no room for it.
    """
    try:
        if has_rows:
            _refuse_missing(path)
        return ExampleFile(path, shape, position)
    except Damaged:
        if has_rows:
            raise
        path.unlink()
        return ExampleFile(path, shape, position)


def examples(
    folder: pathlib.Path, position: Mapping[str, int]
) -> dict[str, Float[np.ndarray, "*features"]]:
    """The adversarial examples of a run by id, each read when it is looked at.

    Args:
        folder: the run's, with files of one process or of several.
        position: each point's number among the points of the run.

    Raises:
        Damaged: a file has not as many examples, or a row is of no such point.
        FileNotFoundError: a file is missing.
    """
    found: dict[str, np.ndarray] = {}
    for rows in shards(folder):
        ids = ATTACK_ROWS.ids(rows.read_bytes(), rows)
        if not ids:
            continue
        path = rows.with_name(f"x_adv{rows.stem.removeprefix('rows')}.npy")
        stored = _mapped(path, len(position))
        for id in ids:
            if id not in position:
                raise Damaged(
                    f"{printable(str(rows))} is damaged: the run has no point "
                    f"{printable(id)!r}"
                )
            found.setdefault(id, stored[position[id]])
    return found


def check_example(
    rows: Rows,
    number: int,
    clean: Float[np.ndarray, "*features"],
    x_adv: Float[np.ndarray, "*features"],
    folder: pathlib.Path,
) -> None:
    """Refuse an example that is not the one its row describes.

    Args:
        rows: the run's.
        number: of the row.
        clean: the clean example, at the stage that was attacked.
        x_adv: what is stored.
        folder: the run's, for the message.

    Raises:
        Damaged: its distance from the clean example is another than the row's.
    """
    said = float(rows.l2[number])
    x = np.asarray(clean, np.float64).ravel()
    there = float(np.linalg.norm(np.asarray(x_adv, np.float64).ravel() - x))
    # The clean example may be computed on another machine: its last bits differ.
    if not abs(there - said) <= 1e-3 * said + 1e-5 * float(np.linalg.norm(x)):
        raise Damaged(
            f"the x_adv*.npy in {printable(str(folder))} are damaged: the example of "
            f"{printable(rows.id[number])!r} is {there:.4g} from the clean one, and its"
            f" row says {said:.4g}. {_ADVICE}"
        )


_ADVICE = "Move that folder away, and the same command attacks its points again"


def _refuse_missing(path: pathlib.Path) -> None:
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"{printable(str(path))} is missing: rows beside it are of examples that "
            f"it should hold. {_ADVICE}"
        )


def _mapped(path: pathlib.Path, count: int) -> Float[np.ndarray, "points *features"]:
    _refuse_missing(path)
    with path.open("rb") as file:
        found = _shape(file, path)
        begin = _check(file, path, (count, *found[1:]))
    return np.memmap(path, _DTYPE, mode="r", offset=begin, shape=found)


def _shape(file: BinaryIO, path: pathlib.Path) -> tuple[int, ...]:
    """The shape that a header says; the file stands behind the header then."""
    try:
        file.seek(0)
        version = np.lib.format.read_magic(file)
        read = {
            (1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0,
        }[version]
        shape, by_column, dtype = read(file)
    except Exception as error:  # noqa: BLE001  NumPy's parser raises many kinds
        raise _damage(path, "its header is not that of an array") from error
    if by_column or dtype != _DTYPE or not shape or min(shape) < 1:
        raise _damage(path, f"it holds {dtype} of shape {shape}")
    return shape


def _check(file: BinaryIO, path: pathlib.Path, shape: tuple[int, ...]) -> int:
    """Where the first example begins in a file of this shape; no other is taken."""
    found = _shape(file, path)
    if found != shape:
        raise _damage(path, f"its shape is {found}, and that of the run {shape}")
    begin, size = file.tell(), os.fstat(file.fileno()).st_size
    if size != begin + _DTYPE.itemsize * math.prod(shape):
        raise _damage(path, f"it is cut short or altered, with {size} bytes")
    return begin


def _damage(path: pathlib.Path, reason: str) -> Damaged:
    where = printable(str(path))
    return Damaged(f"{where} is damaged: {reason}. {_ADVICE}")


def _make(path: pathlib.Path, shape: tuple[int, ...]) -> None:
    """A file of zeros, whose blocks are reserved."""
    told = {
        "descr": np.lib.format.dtype_to_descr(_DTYPE),
        "fortran_order": False,
        "shape": shape,
    }
    with _told(path), new_file(path) as aside, aside.open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, told)
        file.flush()
        _reserve(file, _DTYPE.itemsize * math.prod(shape))


def _reserve(file: BinaryIO, more: int) -> None:
    """So many zeros behind the end of a file, on blocks of the disk."""
    end = file.seek(0, os.SEEK_END)
    try:
        if more:
            os.posix_fallocate(file.fileno(), end, more)
    except (AttributeError, OSError) as error:
        # macOS has no such call, and some file systems do not answer it.
        unable = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)
        if isinstance(error, OSError) and error.errno not in unable:
            raise
        for start in range(0, more, _CHUNK):
            file.write(bytes(min(_CHUNK, more - start)))
        file.flush()


@contextlib.contextmanager
def _told(path: pathlib.Path):
    """A block whose full disk says what to do."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise OSError(
            error.errno,
            "an adversarial example could not be written "
            f"({os.strerror(error.errno)}); make room, and the same command continues",
            str(path),
        ) from error
