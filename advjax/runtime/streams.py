"""Standard streams of a program, which survive a reader that goes away.

A terminal's encoding may lack a character, a reader may go away (`| head -n 1`), and a
stream may be closed from the start (`2>&-`). The text is then escaped or dropped, and
the program continues.
"""

import contextlib
import errno
import io
import os
import sys
import threading
from typing import Any

_READER_GONE = {errno.EPIPE, errno.ECONNRESET, errno.ESHUTDOWN, errno.ENXIO}
# Errors of a terminal whose window or connection is closed.
_TERMINAL_GONE = {errno.EIO, errno.EBADF}


def settle() -> None:
    """Make standard input, output and error safe to use.

    For programs, early: the number of a closed stream would go to the next file that is
    opened, and libraries would print into that file. Streams that a test or a notebook
    put in place stay unchanged.
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
    """Text stream on descriptor `number` that survives the end of its reader.

    Lines reach a terminal, and standard error, as they are written. Characters that
    `encoding` lacks are escaped.

    Args:
        number: the descriptor, which stays open when the stream is closed.
        encoding: of the text.
        buffered: write in blocks; if False, write at once.
        by_lines: write every whole line at once.
    """
    raw = _Tolerant(number)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=encoding,
        errors="backslashreplace",
        line_buffering=by_lines or number == 2 or raw.isatty(),
        write_through=not buffered,
    )


def redirect(number: int, target: int, *, without: bytes) -> None:
    """Send descriptor `number` to `target`, except lines that begin with `without`.

    For text that compiled code prints. A thread copies it, so that the last lines of a
    program that ends abruptly may be lost.

    Args:
        number: the descriptor.
        target: descriptor that receives the lines.
        without: beginning of the lines to drop.
    """
    reader, writer = os.pipe()
    os.dup2(writer, number)
    os.close(writer)

    def copy() -> None:
        with os.fdopen(reader, "rb") as lines:
            for line in lines:
                if not line.startswith(without):
                    with contextlib.suppress(OSError):
                        os.write(target, line)

    threading.Thread(target=copy, name="redirect", daemon=True).start()


class _Tolerant(io.FileIO):
    """A descriptor that accepts everything, also after its reader is gone."""

    def __init__(self, number: int) -> None:
        super().__init__(number, "wb", closefd=False)
        self._gone = _READER_GONE | (_TERMINAL_GONE if self.isatty() else set())

    def write(self, data: Any, /) -> int | None:
        try:
            return super().write(data)
        except OSError as error:
            if error.errno not in self._gone:
                raise
        # Also for text that compiled code prints.
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
