"""Paths of ordinary characters, for libraries that misread others.

TensorStore, Orbax and TFDS read some paths as patterns or addresses: brackets, a
backslash, `gs:`. They accept no bytes that are not UTF-8.
"""

import contextlib
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

_PLAIN = re.compile(r"[A-Za-z0-9_ ./@+=,()'-]+")


@contextlib.contextmanager
def plain_path(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Path of ordinary characters to an existing folder, while the block lasts.

    It is the folder's own path where that is ordinary. Otherwise it is a symbolic link
    in a temporary folder.

    Raises:
        OSError: no link can be made; the message says what to do.
    """
    folder = user_path(folder)
    if _PLAIN.fullmatch(str(folder)):
        yield folder
        return
    place = _temporary_folder(folder)
    try:
        link = place / "folder"
        link.symlink_to(folder, target_is_directory=True)
        yield link
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _temporary_folder(folder: pathlib.Path) -> pathlib.Path:
    for parent in (tempfile.gettempdir(), "/tmp", "/var/tmp"):
        if _PLAIN.fullmatch(parent):
            with contextlib.suppress(OSError):
                return pathlib.Path(tempfile.mkdtemp(prefix="advjax-", dir=parent))
    raise OSError(
        f"{printable(str(folder))} has characters that the libraries for weights and "
        "records misread, and there is no temporary folder for a link to it: choose a "
        "path of letters and digits, or set TMPDIR"
    )
