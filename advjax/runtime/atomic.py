"""Folders and files that appear complete or not at all."""

import contextlib
import os
import pathlib
import re
import shutil
import socket
from collections.abc import Iterator

from advjax.runtime.full_disk import tell_full_disk
from advjax.runtime.names import beside, hide
from advjax.runtime.paths import user_path


@contextlib.contextmanager
def new_folder(folder: str | os.PathLike[str]) -> Iterator[pathlib.Path]:
    """Build a folder under a hidden name, and rename it to `folder` on success.

    The hidden folder lies beside `folder`, with the process and the machine in its
    name. At the end it is flushed to the disk and renamed in one step. An error removes
    it. The next process that builds the same folder on the same machine removes what a
    killed process left.

    Raises:
        FileExistsError: `folder` is not empty, before the work or after it.
        OSError: the disk is full.
    """
    folder = user_path(folder)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise FileExistsError(
            f"{folder} is there already: delete it to build it anew, or choose another"
        )
    folder.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(folder)
    partial = beside(folder, f"partial-{os.getpid()}@{_machine()}")
    partial.mkdir()
    try:
        with tell_full_disk(folder):
            yield partial
            for path in (*partial.rglob("*"), partial):
                _flush(path)
        try:
            os.replace(partial, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise FileExistsError(
                f"{folder} appeared while it was being built here: the folder that "
                "appeared is left as it is"
            ) from error
        _flush(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextlib.contextmanager
def new_file(
    path: str | os.PathLike[str], *, replace: bool = True
) -> Iterator[pathlib.Path]:
    """Write a file under a hidden name, and rename it to `path` on success.

    A reader of `path` finds the old file or the new one, complete. The hidden file lies
    beside `path` and has the same ending, with the process and the machine in its name.
    An error removes it.

    Args:
        path: the file.
        replace: replace an existing file; if False, it stays and is an error.

    Raises:
        FileExistsError: `path` is there, and not to be replaced.
    """
    path = pathlib.Path(path)
    aside = path.with_name(f".{os.getpid()}@{_machine()}.{path.name}")
    try:
        with tell_full_disk(path):
            yield aside
            _flush(aside)
        if replace or not _linked(aside, path):
            os.replace(aside, path)
        _flush(path.parent)
    finally:
        aside.unlink(missing_ok=True)


def _linked(aside: pathlib.Path, path: pathlib.Path) -> bool:
    """Link `path` to `aside`; False if links are refused, an error if it exists."""
    try:
        os.link(aside, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links
        if path.exists():
            raise FileExistsError(f"{path} is there already") from None
        return False
    return True


def _machine() -> str:
    """Name of this machine; a process number is valid on one machine only."""
    return re.sub(r"[^\w.-]", "_", socket.gethostname())


def _remove_abandoned(folder: pathlib.Path) -> None:
    """Remove the unfinished builds of this machine's processes that ended."""
    prefix, suffix = hide(folder.name, "partial-"), f"@{_machine()}"
    for path in folder.parent.iterdir():
        name = path.name
        if not (name.startswith(prefix) and name.endswith(suffix)):
            continue
        number = name[len(prefix) : len(name) - len(suffix)]
        # This process's own number is left from an earlier process.
        if number.isdecimal() and (int(number) == os.getpid() or not _lives(number)):
            shutil.rmtree(path, ignore_errors=True)


def _lives(process: str) -> bool:
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _flush(path: pathlib.Path) -> None:
    """Flush the contents of a file or folder to the disk, where the system can."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError:
        if not path.is_dir():  # some network file systems cannot flush a folder
            raise
    finally:
        os.close(number)
