"""Adversarial examples of a run: `x_adv.npy`, [points, *features] in float32.

Points that differ in their shape have a file each, `x_adv/ID.npy`. Each of several
processes writes `x_adv-K-of-N.npy`, with zeros for the points of the others.

A file has its full size from the start. Examples are written, not mapped: on a full
disk a mapped file ends the process.
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
from advjax.runtime.full_disk import tell_full_disk
from advjax.runtime.text import printable
from experiments.lab import folder_names

EXAMPLES_FILE = "x_adv.npy"
EXAMPLES_FOLDER = "x_adv"
_DTYPE = np.dtype("<f4")
_LONGEST = 100  # characters of a name; file systems take 255 bytes
_CHUNK = 1 << 20
_ADVICE = "Move that folder away, and the same command attacks its points again"


class ExampleFile(contextlib.AbstractContextManager):
    """The examples of one process, open for writing.

    Raises:
        Damaged: the file has another shape, type or size.
    """

    def __init__(
        self, path: pathlib.Path, shape: tuple[int, ...], position: Mapping[str, int]
    ):
        """The file at `path` of this shape; `position` numbers the points."""
        with path.open("rb") as file:
            self._begin = _first_byte(file, path, shape)
        self._path, self._position = path, position
        self._size = _DTYPE.itemsize * math.prod(shape[1:])
        self._file = path.open("r+b", buffering=0)

    def write(self, id: str, x_adv: Float[np.ndarray, "*features"]) -> None:
        """Put the example of a point on the disk.

        Raises:
            OSError: the disk is full or failing.
        """
        content = memoryview(np.ascontiguousarray(x_adv, _DTYPE).tobytes())
        with tell_full_disk(self._path):
            self._file.seek(self._begin + self._position[id] * self._size)
            while content:
                content = content[self._file.write(content) :]
            os.fsync(self._file.fileno())

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()


class ExampleFolder(contextlib.nullcontext):
    """The examples of points that differ in their shape."""

    def __init__(self, folder: pathlib.Path):
        """The folder, made if it is missing."""
        super().__init__(self)
        folder.mkdir(exist_ok=True)
        self._folder = folder

    def write(self, id: str, x_adv: Float[np.ndarray, "*features"]) -> None:
        """Put the example of a point on the disk.

        Raises:
            OSError: the disk is full or failing.
        """
        with (
            new_file(self._folder / f"{file_name(id)}.npy") as aside,
            aside.open("wb") as file,
        ):
            np.save(file, x_adv)


def file_name(id: str) -> str:
    """A point's id as the name of a file.

    A digest tells ids apart that differ in other characters than these or are long.
    An id of a study of targeted attacks ends in ">" and the target.
    """
    name = re.sub(r"[^\w.-]", "_", id)
    if len(name) <= _LONGEST and re.fullmatch(r"[\w.-]+(@[0-9]+)?(>[\w.-]+)?", id):
        return name
    return f"{name[:_LONGEST]}-{folder_names.digest(id, 8)}"


def open_examples(
    path: pathlib.Path,
    shape: tuple[int, ...],
    *,
    position: Mapping[str, int],
    has_rows: bool,
) -> ExampleFile:
    """Open the examples of one process, or make them anew if no row needs them.

    Args:
        path: the file.
        shape: [points, *features].
        position: each point's number among the points of the run.
        has_rows: the process has rows of an earlier start, whose examples are needed.

    Raises:
        Damaged: the file is not one of these examples, and rows need it.
        OSError: rows need it and it is missing, or the disk has no room for it.
    """
    if has_rows:
        _refuse_missing(path)
        return ExampleFile(path, shape, position)
    with contextlib.suppress(FileNotFoundError, Damaged):
        return ExampleFile(path, shape, position)
    _make(path, shape)
    return ExampleFile(path, shape, position)


def examples(
    folder: pathlib.Path, position: Mapping[str, int]
) -> dict[str, Float[np.ndarray, "*features"]]:
    """The adversarial examples of a run by id, each read on access.

    Args:
        folder: the run's, with files of one process or of several.
        position: each point's number among the points of the run.

    Raises:
        Damaged: a file has another number of examples, or a row is of no such point.
        FileNotFoundError: a file is missing.
    """
    found: dict[str, np.ndarray] = {}
    for rows in shards(folder):
        ids = ATTACK_ROWS.ids(rows.read_bytes(), rows)
        if not ids:
            continue
        path = rows.with_name(f"x_adv{rows.stem.removeprefix('rows')}.npy")
        _refuse_missing(path)
        with path.open("rb") as file:
            shape = (len(position), *_shape(file, path)[1:])
            begin = _first_byte(file, path, shape)
        stored = np.memmap(path, _DTYPE, mode="r", offset=begin, shape=shape)
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
    """Refuse an example that its row does not describe.

    Raises:
        Damaged: its distance from the clean example is another than the row's.
    """
    l2 = float(rows.l2[number])
    x = np.asarray(clean, np.float64).ravel()
    stored = float(np.linalg.norm(np.asarray(x_adv, np.float64).ravel() - x))
    # The clean example may be computed on another machine: its last bits differ.
    if not abs(stored - l2) <= 1e-3 * l2 + 1e-5 * float(np.linalg.norm(x)):
        raise Damaged(
            f"the x_adv*.npy in {printable(str(folder))} are damaged: the example of "
            f"{printable(rows.id[number])!r} is {stored:.4g} from the clean one, and "
            f"its row says {l2:.4g}. {_ADVICE}"
        )


def _refuse_missing(path: pathlib.Path) -> None:
    if not os.path.lexists(path):
        raise FileNotFoundError(
            f"{printable(str(path))} is missing: rows beside it are of examples that "
            f"it should hold. {_ADVICE}"
        )


def _shape(file: BinaryIO, path: pathlib.Path) -> tuple[int, ...]:
    """The shape in a header; the file stands behind the header then."""
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


def _first_byte(file: BinaryIO, path: pathlib.Path, shape: tuple[int, ...]) -> int:
    """The place of the first example in a file; one of another shape is refused."""
    found = _shape(file, path)
    if found != shape:
        raise _damage(path, f"its shape is {found}, and that of the run {shape}")
    begin, size = file.tell(), os.fstat(file.fileno()).st_size
    if size != begin + _DTYPE.itemsize * math.prod(shape):
        raise _damage(path, f"it is cut short or altered, with {size} bytes")
    return begin


def _damage(path: pathlib.Path, reason: str) -> Damaged:
    return Damaged(f"{printable(str(path))} is damaged: {reason}. {_ADVICE}")


def _make(path: pathlib.Path, shape: tuple[int, ...]) -> None:
    """Write a file of zeros, and reserve its blocks on the disk."""
    header = {
        "descr": np.lib.format.dtype_to_descr(_DTYPE),
        "fortran_order": False,
        "shape": shape,
    }
    size = _DTYPE.itemsize * math.prod(shape)
    with new_file(path) as aside, aside.open("w+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        file.flush()
        try:
            os.posix_fallocate(file.fileno(), file.tell(), size)
        except (AttributeError, OSError) as error:
            # macOS has no such call, and some file systems do not answer it.
            unable = (errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS, errno.ENODEV)
            if isinstance(error, OSError) and error.errno not in unable:
                raise
            for start in range(0, size, _CHUNK):
                file.write(bytes(min(_CHUNK, size - start)))
