"""Requests to end a program: Ctrl-C, SIGTERM and SIGHUP.

Python answers Ctrl-C with an exception wherever the program happens to be. Inside a
garbage collection or a callback of compiled code the exception is printed and
forgotten, and while a program compiles it is not raised at all. SIGTERM and SIGHUP end
a program without a message. `install`, early in a program, makes one rule for the
three:

- the first request raises `Interrupted` in the main thread, again if it was swallowed;
  while a module is imported, it ends the program;
- a program that does not react (it compiles) or does not finish its cleanup within
  seconds is ended from another thread. Everything on the disk is complete by then:
  files appear by renaming, and rows end with their line break;
- a second request ends the program at once;
- the exit code is 128 plus the number of the signal, and the last line says what the
  same command does next.
"""

import _thread
import contextlib
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, NoReturn

MESSAGE = "interrupted: the same command continues"

STUCK_S = 4.0
"""Time for compiled code to return before the program is ended."""
CLEANUP_S = 10.0
"""Time for cleanup after the exception, and then for the end of Python."""
_TICK_S = 0.1
# `timeout` and some schedulers send a signal to a process and once more to its group.
_SAME_REQUEST_S = 0.2

_NUMBERS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]


class Interrupted(KeyboardInterrupt):
    """The program was asked to end, by the signal `number`."""

    def __init__(self, number: int):
        """Use the signal's name as the text."""
        super().__init__(f"ended by {signal.Signals(number).name}")
        self.number = number


class _State:
    """State shared by the handler, its thread and the program's end."""

    def __init__(self) -> None:
        self.message = MESSAGE
        self.number: int | None = None
        self.since_s = 0.0
        self.seen = False  # the watching thread has read the first signal
        self.raise_again = False
        self.finished = False
        self.watched = False
        self.told = threading.Lock()
        self.last_words: Callable[[], None] | None = None


_state = _State()


def install(message: str | None = None) -> None:
    """Handle SIGINT, SIGTERM and SIGHUP as this module describes.

    For programs, not for users of the library. A signal that the program was started to
    ignore (`nohup`, a background job of a script) stays ignored. Another call renews
    the handlers, which JAX replaces where several processes join.

    Args:
        message: the last line of an interrupted program; None keeps the current one.
    """
    if message is not None:
        _state.message = message
    if threading.current_thread() is not threading.main_thread():
        return
    if not _state.watched:
        _start_watch()
    for number in _NUMBERS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _on_signal)


def last_words(action: Callable[[], None] | None) -> None:
    """Run `action` before the program is ended from outside the main thread."""
    _state.last_words = action


def exit_code() -> int | None:
    """Exit code of a program that was asked to end; None if it was not."""
    return None if _state.number is None else 128 + _state.number


def tell() -> None:
    """Print the last line of an interrupted program, once only."""
    if not _state.told.acquire(blocking=False):
        return
    with contextlib.suppress(OSError):
        os.write(2, f"{_state.message}\n".encode())


def finish() -> None:
    """Give signals back to the system, because the program's work is over.

    The end of Python may then take `CLEANUP_S` in an interrupted program.
    """
    _state.since_s = time.monotonic()
    _state.finished = True
    _to_default()


def _on_signal(number: int, frame: FrameType | None) -> None:
    if _state.number is not None and not _state.raise_again:
        return  # the watching thread has seen this signal, too
    _state.raise_again = False
    _request(number)
    if _is_importing(frame):
        # Compiled modules abort if an exception arrives while they start.
        _end_now(_state.last_words)
    raise Interrupted(_state.number or number)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _request(number: int) -> None:
    if _state.number is None:
        _state.since_s = time.monotonic()
        _state.number = number


def _start_watch() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    try:
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    except ValueError:  # not the main interpreter
        os.close(reader)
        os.close(writer)
        return
    _state.watched = True
    thread = threading.Thread(target=_Watch(reader).run, name="interrupts", daemon=True)
    thread.start()
    sys.unraisablehook = _unraisable_with(sys.unraisablehook)
    sys.excepthook = _excepthook_with(sys.excepthook)
    os.register_at_fork(after_in_child=_in_child)


class _Watch:
    """Thread that reads signals as they arrive, also while nothing else reacts."""

    def __init__(self, reader: int) -> None:
        self._reader = reader
        self._ours = 0  # bytes in the pipe from this thread's own calls
        self._deaf = 0  # checks that did not find the main thread ending

    def run(self) -> None:
        while True:
            waiting = None if _state.number is None else _TICK_S
            if select.select([self._reader], [], [], waiting)[0]:
                for byte in os.read(self._reader, 512):
                    if byte in _NUMBERS:
                        self._arrived(byte)
            elif _state.number is not None:
                self._look(time.monotonic() - _state.since_s)

    def _arrived(self, number: int) -> None:
        if self._ours:
            self._ours -= 1
        elif _state.number is None:
            _request(number)
        elif _state.seen and time.monotonic() - _state.since_s > _SAME_REQUEST_S:
            _end_now()
        _state.seen = True

    def _look(self, spent_s: float) -> None:
        if _state.finished or _is_ending():
            self._deaf = 0
            if spent_s > CLEANUP_S:
                _end_now(_state.last_words)
            return
        self._deaf += 1
        if spent_s > STUCK_S:
            _end_now(_state.last_words)
        if self._deaf > 1:
            self._ours += 1
            _state.raise_again = True
            _thread.interrupt_main(_state.number or signal.SIGINT)


def _is_ending() -> bool:
    """True while the main thread handles an `Interrupted`."""
    found: Any = sys._current_exceptions().get(threading.main_thread().ident or 0)
    error = found[1] if isinstance(found, tuple) else found  # Python 3.11, and later
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, Interrupted):
            return True
        seen.add(id(error))
        error = error.__context__
    return False


def _end_now(action: Callable[[], None] | None = None) -> NoReturn:
    if action is not None:
        helper = threading.Thread(target=action, daemon=True)
        helper.start()
        helper.join(CLEANUP_S)
    tell()
    os._exit(exit_code() or 1)


def _unraisable_with(before: Callable[[Any], Any]) -> Callable[[Any], None]:
    def hook(unraisable: Any) -> None:
        # Swallowed where nothing can catch it; the watching thread raises it again.
        if not isinstance(unraisable.exc_value, Interrupted):
            before(unraisable)

    return hook


def _excepthook_with(before: Callable[..., Any]) -> Callable[..., None]:
    def hook(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        # Outside a program's `run`, while its modules are imported.
        if _state.number is not None and not _state.finished:
            _end_now()
        before(kind, error, trace)

    return hook


def _to_default() -> None:
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _NUMBERS:
        if signal.getsignal(number) is _on_signal:
            signal.signal(number, signal.SIG_DFL)


def _in_child() -> None:
    """Give a forked child, which has no watching thread, the system's handlers."""
    if threading.current_thread() is threading.main_thread():
        signal.set_wakeup_fd(-1)
    _to_default()
    _state.number = None
    _state.watched = False
