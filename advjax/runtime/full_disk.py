"""Errors of a full disk, as one message."""

import contextlib
import errno
import os
from collections.abc import Iterator

from advjax.runtime.text import printable

_CODES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_WORDS = tuple(os.strerror(code) for code in _CODES)


def is_full_disk(error: BaseException | None) -> bool:
    """True if a full disk or a quota is the cause of an error.

    Libraries in C++ pass on the system's words, and not its number.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, OSError) and error.errno in _CODES:
            return True
        if any(words in str(error) for words in _WORDS):
            return True
        error = error.__cause__ or error.__context__
    return False


@contextlib.contextmanager
def tell_full_disk(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn the errors of a full disk in the block into one clear `OSError`.

    Args:
        path: file or folder that the block writes.

    Raises:
        OSError: the disk is full, or a quota used up.
    """
    try:
        yield
    except Exception as error:
        if not is_full_disk(error):
            raise
        full = OSError(
            f"no room on the disk to write {printable(os.fspath(path))}: make room and "
            "run the same command again, it continues from what was finished"
        )
        full.errno = errno.ENOSPC
        raise full from None
