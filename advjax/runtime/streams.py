"""The standard streams of a program: nothing that happens to them ends its work.

A terminal's encoding may lack a character, a reader may go away (`| head -n 1`), and a
stream may be closed from the start (`2>&-`). What is printed is then escaped, dropped
or sent nowhere; files are written as ever.
"""

import contextlib
import errno
import io
import os
import sys
from typing import Any

_READER_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENXIO}
# What a terminal answers once its window or connection is closed.
_TERMINAL_GONE = {errno.EIO, errno.EBADF}


def settle() -> None:
    """Make standard input, output and error safe to use, whatever they are.

    For programs, early: a closed stream's number would go to the next file that is
    opened, and what libraries print into that file. Streams that a test or a notebook
    put in their place stay as they are.
    """
    for number in range(3):
        _open_if_closed(number)
    if sys.stdin is None:
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream = getattr(sys, name)
        if stream is None:
            encoding, buffered = "utf-8", True
        elif type(stream) is io.TextIOWrapper and _number_of(stream) == number:
            with contextlib.suppress(OSError):
                stream.flush()
            encoding, buffered = stream.encoding, not stream.write_through
        else:
            continue
        setattr(sys, name, tolerant(number, encoding, buffered=buffered))


def tolerant(
    number: int,
    encoding: str = "utf-8",
    *,
    buffered: bool = True,
    by_lines: bool = False,
) -> io.TextIOWrapper:
    """A text stream on file descriptor `number` that survives its reader.

    Lines reach a terminal, and standard error, as they are written. Characters that
    `encoding` lacks are written as escapes.

    Args:
        number: the descriptor, which stays open when the stream is closed.
        encoding: of the text.
        buffered: keep text back until there is a block of it; if not, none.
        by_lines: keep back no whole line.
    """
    raw = _Tolerant(number)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=by_lines or number == 2 or raw.isatty(),
        write_through=not buffered,
    )


class _Tolerant(io.FileIO):
    """A descriptor that takes everything, also when nobody reads it any more."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self._gone = _READER_GONE | (_TERMINAL_GONE if self.isatty() else set())

    def write(self, data: Any, /) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._gone:
                raise
        # For what compiled code prints, too.
        _to_nowhere(self.fileno())
        return memoryview(data).nbytes


def _number_of(stream: io.TextIOWrapper) -> int | None:
    try:
        return stream.fileno()
    except (OSError, ValueError):
        return None


def _open_if_closed(number: int) -> None:
    try:
        os.fstat(number)
    except OSError:
        _to_nowhere(number)


def _to_nowhere(number: int) -> None:
    null = os.open(os.devnull, os.O_RDWR)
    if null == number:
        os.set_inheritable(null, True)
        return
    os.dup2(null, number)
    os.close(null)
