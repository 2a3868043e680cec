"""Names of hidden files and folders beside others."""

import hashlib
import os
import pathlib

LONGEST = 150
"""Bytes of a name that a hidden name repeats: with its suffix it must stay below 255,
which file systems allow."""


def hide(name: str, suffix: str) -> str:
    """The hidden name `.NAME.SUFFIX`; a long name is cut, and a digest tells it."""
    encoded = os.fsencode(name)
    if len(encoded) > LONGEST:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        name = encoded[: LONGEST - 17].decode("utf-8", "ignore") + f".{digest}"
    return f".{name}.{suffix}"


def beside(path: pathlib.Path, suffix: str) -> pathlib.Path:
    """The hidden path beside `path` that `hide` names."""
    return path.with_name(hide(path.name, suffix))
