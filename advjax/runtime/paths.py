"""Paths as a user types them."""

import os
import pathlib


def user_path(text: str | os.PathLike[str]) -> pathlib.Path:
    """Absolute path that `text` names.

    A leading `~` or `~name` is a home folder: shells leave it unchanged in
    `--home=~/runs`. A relative path starts at the current folder, so that a stored path
    means the same in another one. Symbolic links stay.

    Raises:
        ValueError: an empty text, or an unknown home folder.
    """
    if not os.fspath(text):
        raise ValueError("an empty path: give the name of a folder or file")
    try:
        path = pathlib.Path(text).expanduser()
    except RuntimeError as error:
        raise ValueError(
            f"{os.fspath(text)!r}: {error}; write the whole path"
        ) from error
    return pathlib.Path(os.path.abspath(path))
