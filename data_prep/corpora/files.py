"""Files in the folder of a downloaded corpus."""

import os
import pathlib
from collections.abc import Iterator, Sequence

from advjax.runtime.text import printable

AUDIO_SUFFIXES = (
    ".flac", ".ogg", ".wav", ".aif", ".aifc", ".aiff", ".au", ".mp3", ".oga", ".opus",
    ".rf64", ".snd", ".w64",
)  # fmt: skip
"""Suffixes of files that `clips.decode` reads, the most common first."""
OTHER_AUDIO_SUFFIXES = (
    ".3gp", ".aac", ".ac3", ".amr", ".ape", ".avr", ".caf", ".gsm", ".htk", ".m4a",
    ".m4b", ".mka", ".mp2", ".mp4", ".nist", ".pcm", ".ra", ".raw", ".sd2", ".sds",
    ".shn", ".sph", ".spx", ".tta", ".voc", ".wave", ".webm", ".wma", ".wv", ".wve",
)  # fmt: skip


def files_below(root: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of every folder below `root`, in order of names.

    Symbolic links are followed, except back to a folder above them.

    Raises:
        OSError: a folder cannot be read.
    """
    stack = [(str(root), (os.path.realpath(root),))]
    while stack:
        folder, trail = stack.pop()
        names, below = [], []
        for entry in entries(folder):
            if not _is_folder(entry):
                names.append(entry.name)
                continue
            real = os.path.join(trail[-1], entry.name)
            if entry.is_symlink():
                real = os.path.realpath(entry.path)
            if real not in trail:
                below.append((entry.path, (*trail, real)))
        stack += reversed(below)
        yield folder, names


def entries(folder: str | pathlib.Path) -> list[os.DirEntry]:
    """Entries of a folder, in order of names.

    Raises:
        OSError: it cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda entry: entry.name)
    except OSError as error:
        raise type(error)(
            f"{printable(str(folder))} cannot be read ({error.strerror}): make this "
            "folder of the corpus readable"
        ) from error


def _is_folder(entry: os.DirEntry) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def is_clip(name: str) -> bool:
    """True if a file of this name is readable audio."""
    return not name.startswith(".") and _suffix(name) in AUDIO_SUFFIXES


def looks_like_clip(name: str) -> bool:
    """True if a file of this name is audio that must be converted first."""
    return not name.startswith(".") and _suffix(name) in OTHER_AUDIO_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def some(names: Sequence[str], what: str) -> str:
    """Number of names, and the first three of them."""
    first = ", ".join(printable(name) for name in sorted(names)[:3])
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({first}{more})"


def contents(folder: pathlib.Path) -> str:
    """Sentence on the entries of a folder, for messages about a wrong one."""
    names = [entry.name for entry in entries(folder) if not entry.name.startswith(".")]
    first = ", ".join(printable(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{printable(str(folder))} holds {first or 'nothing'}{more}"
