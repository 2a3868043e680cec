"""Locks, so that one process at a time makes or writes a shared file.

A lock is `flock`: the system releases it when its process ends, for any reason. Some
cluster file systems have no locks. There every process gets its lock at once and works
as if it were alone.
"""

import contextlib
import fcntl
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from advjax.runtime.names import beside
from advjax.runtime.paths import user_path
from advjax.runtime.text import printable

POLL_S = 0.2
"""Pause between two attempts to get a lock; signals are handled in between."""


def try_lock(file: Any) -> bool:
    """Lock an open file until it is closed; False if another process has the lock.

    Args:
        file: a descriptor, or anything with `fileno`.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


@contextlib.contextmanager
def lock_folder(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Hold the lock of an existing folder for a moment; others wait."""
    at = os.open(folder, os.O_RDONLY)
    try:
        while not try_lock(at):
            time.sleep(POLL_S / 10)
        yield
    finally:
        os.close(at)


@contextlib.contextmanager
def reserve(
    folder: str | os.PathLike[str],
    *,
    wait: bool = True,
    say: Callable[[str], object] = lambda line: None,
) -> Iterator[None]:
    """Be the only process that makes `folder`, which need not exist.

    A process that waited must first check whether the folder exists now. The lock is a
    hidden file beside the folder, which names its holder and is removed when the block
    ends.

    Args:
        folder: that the block makes, or works from (a folder of checkpoints).
        wait: wait for another process that holds the lock; if False, refuse.
        say: called with one line when the waiting begins.

    Raises:
        BlockingIOError: another process holds the lock, and `wait` is False.
    """
    folder = user_path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    path = beside(folder, "lock")
    told = False
    while True:
        with contextlib.closing(_open(path)) as file:
            if try_lock(file):
                if not _is_file(path, file):
                    continue
                _sign(file)
                try:
                    yield
                finally:
                    # Removed under the lock: other openers see that the file is gone.
                    path.unlink(missing_ok=True)
                return
            busy = f"{printable(str(folder))} is being made by {_holder(file)}"
        if not wait:
            raise BlockingIOError(f"{busy}: wait for it, or choose another folder")
        if not told:
            say(f"{busy}: waiting for it")
            told = True
        time.sleep(POLL_S)


def _open(path: pathlib.Path) -> BinaryIO:
    """Open the lock file, made if missing; that of another user is read only."""
    try:
        number = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    except PermissionError:
        number = os.open(path, os.O_RDONLY)
    return os.fdopen(number, "rb", buffering=0)


def _is_file(path: pathlib.Path, file: BinaryIO) -> bool:
    """True if `path` still names the open file: the last holder removes it."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


def _sign(file: BinaryIO) -> None:
    text = f"process {os.getpid()} on {socket.gethostname()} since {time.ctime()}"
    with contextlib.suppress(OSError):  # a full disk; the lock is valid without text
        os.truncate(file.fileno(), 0)
        os.pwrite(file.fileno(), text.encode(), 0)


def _holder(file: BinaryIO) -> str:
    text = os.pread(file.fileno(), 200, 0).decode("utf-8", "replace")
    return printable(text) or "another process"
