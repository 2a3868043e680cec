"""Foreign text made safe to print, and hints at similar words."""

import difflib
import unicodedata
from collections.abc import Iterable


def printable(text: str) -> str:
    r"""One line of `text`, with escapes for characters that act on a terminal.

    Names of files and ids of recordings are foreign text. A control character moves the
    cursor or colours the screen, a line break splits a row of a table, and text that is
    not Unicode cannot be printed. `\n` becomes `\\n`, an escape `\\x1b`, a byte of an
    undecodable file name `\\udcff`.
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii")
        for c in text
    )


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Hint at the known word nearest to `word`, after a space; empty if none is
    near."""
    by_fold = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), by_fold, n=1)
    return f" Did you mean {by_fold[near[0]]!r}?" if near else ""


def has_controls(text: str) -> bool:
    """True if `text` has control characters, line breaks or no valid Unicode."""
    return any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in text)
