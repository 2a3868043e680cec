"""Exceptions of threads that a library hands on by itself."""

import contextlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def silence_threads() -> Iterator[None]:
    """Print no traceback of exceptions in threads, while the block lasts.

    Orbax raises them again where it is called, and they are told there.
    """
    before = threading.excepthook
    threading.excepthook = lambda arguments: None
    try:
        yield
    finally:
        threading.excepthook = before
