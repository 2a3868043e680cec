"""Text that others wrote, as it may be shown, and words near to it."""

import difflib
import unicodedata
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""One line of `text`, with what a terminal would obey written as an escape.

    Names of files and ids of recordings come from elsewhere: a control character among
    them moves the cursor or colours the screen, a line break makes a table of one row
    two, and what is not Unicode cannot be printed at all. `\n` becomes `\\n`, an
    escape `\\x1b`, a byte of an undecodable file name `\\udcff`.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A hint at the known word nearest to `word`, after a space; nothing if none is."""
    by_fold = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1)
    return f" Did you mean {by_fold[near[0]]!r}?" if near else ""


def has_controls(text: str) -> bool:
    """Report control characters, line breaks and what is no Unicode character."""
    return any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)
