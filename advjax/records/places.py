"""Folders of sets of records, laid out as TFDS finds them by name.

A set lies in `NAME/CONFIG/VERSION` below the folder that TFDS calls `data_dir`, such as
`voices/mfbe/1.0.0`. Sets of earlier versions lie in the folder itself.
"""

import contextlib
import pathlib
from collections.abc import Iterator
from os import PathLike
from typing import Any

from advjax.records import array_record, npz
from advjax.records.header import VERSION
from advjax.representations import Representation
from advjax.runtime.atomic import new_folder
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

Path = str | PathLike[str]

FILE_FORMATS = {"array_record": array_record, "npz": npz}
_LEVELS = 3


def place(folder: Path, name: str, representation: Representation) -> pathlib.Path:
    """Folder in which `write` puts a set of records.

    Args:
        folder: the `data_dir`.
        name: of the corpus.
        representation: of the features.
    """
    return user_path(folder) / name / representation.name / VERSION


def sets(folder: Path) -> list[pathlib.Path]:
    """The sets of records in `folder`, in either layout; none if it does not exist.

    Args:
        folder: a `data_dir`, a set, or a folder between them.
    """
    level = [user_path(folder)]
    for _ in range(_LEVELS):
        if found := list(filter(format_of, level)):
            return found
        level = [below for above in level for below in sorted(above.glob("[!.]*"))]
    return list(filter(format_of, level))


def only_set(folder: Path) -> pathlib.Path:
    """The set of records in a folder that holds one.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it holds none, or several.
    """
    folder = user_path(folder)
    shown = printable(str(folder))
    if not folder.exists():
        raise FileNotFoundError(
            f"no records at {shown}: make them with "
            f"python -m data_prep.build --corpus=voices --rep=mfbe --out={shown}"
        )
    found = sets(folder)
    if not found:
        wanted = (" and ".join(each.HEADER_FILES) for each in FILE_FORMATS.values())
        raise ValueError(
            f"{shown} is not a complete set of records: it has no "
            f"{' or '.join(wanted)}. Give the folder that data_prep.build made; if "
            "this was it, build it again elsewhere"
        )
    if len(found) > 1:
        listed = ", ".join(str(each.relative_to(folder)) for each in found)
        raise ValueError(
            f"{shown} holds several sets of records: {printable(listed)}. Give the "
            f"folder of one, such as {printable(str(found[0]))}"
        )
    return found[0]


def format_of(folder: pathlib.Path) -> Any:
    """Module that reads the set in `folder`; None if no set lies there itself."""
    for module in FILE_FORMATS.values():
        if all((folder / name).is_file() for name in module.HEADER_FILES):
            return module
    return None


@contextlib.contextmanager
def new_set(
    folder: Path, name: str, representation: Representation
) -> Iterator[pathlib.Path]:
    """Make the folder `place(...)` of a set.

    Everything that is missing of its path appears at once, when the set is complete.

    Raises:
        FileExistsError: the set is there, or `folder` is a set itself.
        OSError: the disk is full.
    """
    made = user_path(folder)
    if format_of(made):
        raise FileExistsError(
            f"{printable(str(made))} is a set of records itself: delete it to build "
            "it anew, or choose another folder"
        )
    missing = list(place(made, name, representation).relative_to(made).parts)
    while missing and made.is_dir() and any(made.iterdir()):
        made /= missing.pop(0)
    with new_folder(made) as partial:
        whole = partial.joinpath(*missing)
        whole.mkdir(parents=True, exist_ok=True)
        yield whole
