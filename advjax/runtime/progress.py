"""Progress line of a long task, with the time left.

On a terminal the line is redrawn in place. A log file or a pipe gets a plain line now
and then. The last line says what was done and how fast.
"""

import io
import shutil
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

REDRAW_S = 0.1  # on a terminal: fast enough to look alive, slow enough to cost nothing
LINE_S = 15.0  # elsewhere: a two-minute task leaves eight lines in a log


class Progress:
    """A progress line for `total` pieces of work, used as a context manager.

    with Progress("certify", total=300, unit="points") as progress:
        for point in points:
            ...
            progress.advance(note="accuracy 0.93")

    Args:
        task: name of the task, in a word or two.
        total: number of pieces.
        unit: name of the pieces, in the plural.
        done: pieces that an earlier, interrupted run finished.
        stream: of the line; standard error by default, so that standard output has
            results only.
        clock: seconds from any fixed moment.
    """

    def __init__(
        self,
        task: str,
        *,
        total: int,
        unit: str = "examples",
        done: int = 0,
        stream: Any = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        """Prepare a line without showing it."""
        self.task, self.total, self.unit, self.done = task, total, unit, done
        self.note = ""
        # `sys.stderr` is None if Python was started without standard error.
        self._stream = (sys.stderr or io.StringIO()) if stream is None else stream
        self._clock = clock
        self._in_place = self._stream.isatty()
        self._begin = self._last_shown = clock()
        self._done_before = done
        self._warm: tuple[float, int] | None = None

    def __enter__(self) -> "Progress":
        """Start the clock and, on a terminal, draw the line."""
        self._begin = self._last_shown = self._clock()
        if self._in_place:
            self._show()
        return self

    def advance(self, count: int = 1, *, note: str | None = None) -> None:
        """Count `count` more pieces, and show the line if it is due.

        Args:
            count: pieces done since the last call.
            note: a few words shown at the end of the line from now on.
        """
        self.done += count
        self.note = self.note if note is None else note
        now = self._clock()
        if self._warm is None:
            # The first piece includes compilation, which would spoil the estimate.
            self._warm = now, self.done
        if now - self._last_shown >= (REDRAW_S if self._in_place else LINE_S):
            self._last_shown = now
            self._show()

    @property
    def remaining_s(self) -> float | None:
        """Seconds left at the pace so far; None before a pace is known."""
        now = self._clock()
        warm_s, warm_done = self._warm or (self._begin, self._done_before)
        if self.done == warm_done:
            warm_s, warm_done = self._begin, self._done_before
        if self.done == warm_done or now <= warm_s:
            return None
        return max(self.total - self.done, 0) * (now - warm_s) / (self.done - warm_done)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End with a summary line, also when the task failed."""
        spent_s = self._clock() - self._begin
        pieces = self.done - self._done_before
        rate = f", {pieces / spent_s:.3g} {self.unit}/s" if spent_s > 0 else ""
        if kind is None:
            text = f"{self.done} {self.unit} in {duration(spent_s)}{rate}"
        else:
            text = (
                f"stopped at {self.done} of {self.total} {self.unit} "
                f"after {duration(spent_s)}"
            )
        self._write(text, end="\n")

    def _show(self) -> None:
        share = 100 * self.done // max(self.total, 1)
        text = f"{self.done}/{self.total} {self.unit} {share}%"
        if (remaining_s := self.remaining_s) is not None:
            text += f", {duration(remaining_s)} left"
        self._write(text, end="" if self._in_place else "\n")

    def _write(self, text: str, *, end: str) -> None:
        line = f"{self.task}: {text}" + (f", {self.note}" if self.note else "")
        if self._in_place:
            # A line that wraps cannot be redrawn in place.
            line = line[: max(shutil.get_terminal_size().columns - 1, 20)]
            line = f"\r{line}\x1b[K"
        self._stream.write(line + end)
        self._stream.flush()


def duration(seconds: float | int) -> str:
    """A time span for people: "4.2 s", "3 min 05 s", "2 h 05 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
