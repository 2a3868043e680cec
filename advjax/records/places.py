"""Folders of sets of records, laid out as TFDS finds them by name.

A set lies in `NAME/CONFIG/VERSION` below the folder that TFDS calls `data_dir`, such as
`voices/mfbe/1.0.0`. Sets of earlier versions lie in the folder itself.
"""

import contextlib
import pathlib
from collections.abc import Callable, Iterator

from advjax.runtime.atomic import new_folder

VERSION = "1.0.0"
"""Version of every set, for TFDS: a set never changes after it is written."""
_LEVELS = 3


def find(
    folder: pathlib.Path, is_set: Callable[[pathlib.Path], bool]
) -> list[pathlib.Path]:
    """The sets of records in `folder`, or in the folders below it.

    Args:
        folder: a `data_dir`, a set, or a folder between them.
        is_set: true for the folder of a set.
    """
    level = [folder]
    for _ in range(_LEVELS):
        if found := list(filter(is_set, level)):
            return found
        level = [below for above in level for below in sorted(above.glob("[!.]*"))]
    return list(filter(is_set, level))


@contextlib.contextmanager
def new_set(folder: pathlib.Path, name: str, config: str) -> Iterator[pathlib.Path]:
    """Make the folder of a set in the `data_dir` `folder`.

    Everything that is missing of its path appears at once, when the set is complete.

    Raises:
        FileExistsError: the set is there.
        OSError: the disk is full.
    """
    made, missing = folder, [name, config, VERSION]
    while missing and made.is_dir() and any(made.iterdir()):
        made /= missing.pop(0)
    with new_folder(made) as partial:
        place = partial.joinpath(*missing)
        place.mkdir(parents=True, exist_ok=True)
        yield place
