"""Records as plain `.npy` files, one folder a split, and a JSON index.

The files are those that `np.savez` would pack into one archive. As separate files they
can be written example by example and read through a memory map.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, BinaryIO, SupportsIndex

import numpy as np

from advjax.records.header import HEADER, SPLITS, read_json
from advjax.records.schema import FIELDS, REBUILD, Example, Info, position
from advjax.representations import Representation
from advjax.runtime.damage import Damaged
from advjax.runtime.json_files import Fields, Items, Text
from advjax.runtime.text import printable

HEADER_FILES = ("records.json",)
TEXTS = ("id", "speaker")


def write(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Example]],
    header: Mapping[str, Any],
    representation: Representation,
) -> None:
    """Write the records of every split to `folder`."""
    shapes = _columns(representation, header.get("fields", FIELDS))
    sizes = {}
    for split, examples in splits.items():
        (folder / split).mkdir()
        texts: dict[str, list[str]] = {field: [] for field in TEXTS}
        with contextlib.ExitStack() as stack:
            columns = {}
            for field, (dtype, shape) in shapes.items():
                file = stack.enter_context((folder / split / f"{field}.npy").open("wb"))
                columns[field] = _Column(file, dtype, shape)
            for example in examples:
                for field, column in columns.items():
                    column.append(example[field])
                for field in TEXTS:
                    texts[field].append(example[field])
            for column in columns.values():
                column.finish()
        _write_json(folder / split / "index.json", texts)
        sizes[split] = len(texts["id"])
    _write_json(folder / HEADER_FILES[0], {**header, "splits": sizes})


def header(folder: pathlib.Path) -> dict[str, Any]:
    """Metadata stored beside the records, with the size of each split."""
    sized = dataclasses.replace(HEADER, required=HEADER.required | {"splits": SPLITS})
    return read_json(folder / HEADER_FILES[0], sized)


class Records:
    """Records of one split, read from disk one at a time."""

    def __init__(self, folder: pathlib.Path, split: str, info: Info):
        """Open one split of the records that `info` describes.

        Raises:
            Damaged: a file is missing, shortened, or has other types or shapes.
        """
        self._length = info.splits[split]
        count = self._length
        names = Items(Text(empty=True), low=count, high=count)
        texts = Fields({"id": names, "speaker": names})
        self._texts = read_json(folder / split / "index.json", texts)
        columns = _columns(info.representation, info.fields)
        self._arrays = {
            field: _open(folder / split / f"{field}.npy", dtype, (count, *shape))
            for field, (dtype, shape) in columns.items()
        }

    def __len__(self) -> int:
        """Number of records."""
        return self._length

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies."""
        place = position(index, self._length)
        example = Example(
            id=self._texts["id"][place],
            audio=np.array(self._arrays["audio"][place]),
            label=int(self._arrays["label"][place]),
            speaker=self._texts["speaker"][place],
        )
        if "features" in self._arrays:
            example["features"] = np.array(self._arrays["features"][place])
        return example


class _Column:
    """A `.npy` file that grows row by row; its header is completed last."""

    def __init__(self, file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...]):
        self._file, self._dtype, self._shape = file, dtype, shape
        self._num_rows = 0
        self._write_header()
        self._start = file.tell()

    def append(self, row: Any) -> None:
        self._file.write(np.asarray(row, self._dtype).tobytes())
        self._num_rows += 1

    def finish(self) -> None:
        self._file.seek(0)
        self._write_header()
        if self._file.tell() != self._start:
            # NumPy leaves room in the header for the number of rows to grow. Without
            # that room the header would overwrite the data.
            raise ValueError("this NumPy cannot rewrite the header of a .npy file")

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._dtype),
                "fortran_order": False,
                "shape": (self._num_rows, *self._shape),
            },
        )


def _columns(
    representation: Representation, fields: Sequence[str]
) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
    """Type and row shape of each array among the fields."""
    shapes = {
        "audio": (np.dtype(np.int16), (representation.num_samples,)),
        "features": (np.dtype(np.float32), representation.feature_shape),
        "label": (np.dtype(np.int32), ()),
    }
    return {field: of for field, of in shapes.items() if field in fields}


def _open(path: pathlib.Path, dtype: np.dtype, shape: tuple[int, ...]) -> np.ndarray:
    """Open a `.npy` file as a memory map, and check its type and shape.

    Raises:
        Damaged: the file cannot be read, or has another type or shape.
    """
    shown = printable(str(path))
    try:
        # Not `np.load`, which also opens archives and other kinds of files.
        array = np.lib.format.open_memmap(path, mode="r")
    except PermissionError:
        raise
    except (EOFError, OSError, ValueError, OverflowError, SyntaxError) as error:
        raise Damaged(f"cannot read {shown} ({error}). {REBUILD}") from error
    if (array.dtype, array.shape) != (dtype, shape):
        raise Damaged(
            f"{shown} is damaged: it should hold {dtype} {shape}, and holds "
            f"{array.dtype} {array.shape}. {REBUILD}"
        )
    return array


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
