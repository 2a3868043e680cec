"""Records as plain `.npy` files, one folder a split, and a JSON index.

What `np.savez` would pack into one archive lies open here, so that it can be written
example by example and read through a memory map.
"""

import contextlib
import json
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any, BinaryIO, SupportsIndex

import numpy as np

from advjax.records.schema import REBUILD, Example, position
from advjax.representations import Representation

HEADER_FILES = ("records.json",)
ARRAYS = ("audio", "features", "label")
TEXTS = ("id", "speaker")


def write(
    folder: pathlib.Path,
    splits: Mapping[str, Iterable[Example]],
    header: Mapping[str, Any],
    representation: Representation,
) -> None:
    """Nothing; fills `folder`."""
    shapes = {
        "audio": (np.dtype(np.int16), (representation.num_samples,)),
        "features": (np.dtype(np.float32), representation.feature_shape),
        "label": (np.dtype(np.int32), ()),
    }
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
    """What the writer stored beside the records, with the size of each split."""
    return read_json(folder / HEADER_FILES[0])


class Records:
    """The records of one split; only those asked for are read from the disk."""

    def __init__(self, folder: pathlib.Path, split: str, length: int):
        """A view of a split that has `length` records.

        Raises:
            ValueError: a file that is missing, shortened or of another kind.
        """
        self._length = length
        self._texts = read_json(folder / split / "index.json")
        self._arrays = {}
        for field in ARRAYS:
            path = folder / split / f"{field}.npy"
            try:
                array = np.load(path, mmap_mode="r", allow_pickle=False)
            except (EOFError, OSError, ValueError) as error:
                raise ValueError(f"cannot read {path} ({error}). {REBUILD}") from error
            self._arrays[field] = array
        sizes = [len(self._texts[f]) for f in TEXTS]
        sizes += [len(array) for array in self._arrays.values()]
        if set(sizes) != {length}:
            raise ValueError(
                f"{folder / split} should hold {length} records, but its files hold "
                f"{min(sizes)} to {max(sizes)}. {REBUILD}"
            )

    def __len__(self) -> int:
        """How many records there are."""
        return self._length

    def __getitem__(self, index: SupportsIndex) -> Example:
        """One record; its arrays are copies."""
        place = position(index, self._length)
        return Example(
            id=self._texts["id"][place],
            audio=np.array(self._arrays["audio"][place]),
            features=np.array(self._arrays["features"][place]),
            label=int(self._arrays["label"][place]),
            speaker=self._texts["speaker"][place],
        )


class _Column:
    """A `.npy` file that grows by a row at a time; its header is filled in last."""

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
            # NumPy leaves room for the number of rows to grow; were that to change, the
            # header would have run into the data.
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


def read_json(path: pathlib.Path) -> dict[str, Any]:
    """The JSON object in a file of a record set.

    Raises:
        ValueError: it is missing or damaged.
    """
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"cannot read {path} ({error}). {REBUILD}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{path} is not a JSON object. {REBUILD}")
    return content


def _write_json(path: pathlib.Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8")
