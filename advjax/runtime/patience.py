"""Sentences on work that takes long, said while it goes on."""

import contextlib
import threading
import warnings
from collections.abc import Callable, Iterator

PATIENCE_S = 120
"""Seconds of work after which it is said that it takes long."""


@contextlib.contextmanager
def patience(sentence: str) -> Iterator[Callable[[], None]]:
    """Warn once that work has been going on for `PATIENCE_S`.

    The work ends with the block, or before it with a call of the yielded function.

    Args:
        sentence: the warning; empty for none.
    """
    timer = threading.Timer(PATIENCE_S, warnings.warn, [sentence])
    timer.daemon = True
    if sentence:
        timer.start()
    try:
        yield timer.cancel
    finally:
        timer.cancel()
