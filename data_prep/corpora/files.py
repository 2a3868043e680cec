"""The files of a corpus that the user downloaded, as they lie on the disk."""

import os
import pathlib
from collections.abc import Iterator, Sequence

from advjax.runtime.text import printable

AUDIO_SUFFIXES = (
    ".flac", ".ogg", ".wav", ".aif", ".aifc", ".aiff", ".au", ".mp3", ".oga", ".opus",
    ".rf64", ".snd", ".w64",
)  # fmt: skip
"""Of files that `clips.decode` reads, the most usual first."""
OTHER_AUDIO_SUFFIXES = (
    ".3gp", ".aac", ".ac3", ".amr", ".ape", ".avr", ".caf", ".gsm", ".htk", ".m4a",
    ".m4b", ".mka", ".mp2", ".mp4", ".nist", ".pcm", ".ra", ".raw", ".sd2", ".sds",
    ".shn", ".sph", ".spx", ".tta", ".voc", ".wave", ".webm", ".wma", ".wv", ".wve",
)  # fmt: skip


def files_below(root: pathlib.Path) -> Iterator[tuple[str, list[str]]]:
    """(folder, names of its files) of every folder below `root`, in order of names.

    Symbolic links are followed, but not back to a folder that leads there.

    Raises:
        OSError: a folder that cannot be read.
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
    """Content of a folder, in order of names.

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
    """True if a file of this name is audio that can be read."""
    return not name.startswith(".") and _suffix(name) in AUDIO_SUFFIXES


def looks_like_clip(name: str) -> bool:
    """True if a file of this name is audio that has to be converted first."""
    return not name.startswith(".") and _suffix(name) in OTHER_AUDIO_SUFFIXES


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def some(names: Sequence[str], what: str) -> str:
    """Their number, and the first of them."""
    first = ", ".join(printable(name) for name in sorted(names)[:3])
    more = ", ..." if len(names) > 3 else ""
    return f"{len(names)} {what}{'s' if len(names) > 1 else ''} ({first}{more})"


def contents(folder: pathlib.Path) -> str:
    """A sentence on what is in a folder, for one who gave the wrong one."""
    names = [entry.name for entry in entries(folder) if not entry.name.startswith(".")]
    first = ", ".join(printable(name) for name in names[:5])
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"{printable(str(folder))} holds {first or 'nothing'}{more}"
