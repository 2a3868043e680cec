"""Exceptions in threads that a library raises again by itself."""

import contextlib
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def silence_threads() -> Iterator[None]:
    """Print no traceback of exceptions in threads, while the block lasts.

    Orbax raises these exceptions again in the calling thread, which reports them.
    """
    before = threading.excepthook
    threading.excepthook = lambda arguments: None
    try:
        yield
    finally:
        threading.excepthook = before
