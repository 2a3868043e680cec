"""Names of hidden files and folders beside others."""

import hashlib
import os
import pathlib

LONGEST = 150
"""Bytes of a name that a hidden name repeats: with a suffix it stays below 255, the
limit of file systems."""


def hide(name: str, suffix: str) -> str:
    """Hidden name `.NAME.SUFFIX`; a long name is cut and ends in a digest."""
    encoded = os.fsencode(name)
    if len(encoded) > LONGEST:
        digest = hashlib.sha256(encoded).hexdigest()[:16]
        name = encoded[: LONGEST - 17].decode("utf-8", "ignore") + f".{digest}"
    return f".{name}.{suffix}"


def beside(path: pathlib.Path, suffix: str) -> pathlib.Path:
    """Hidden path beside `path`, named by `hide`."""
    return path.with_name(hide(path.name, suffix))
