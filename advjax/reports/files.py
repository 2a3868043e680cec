"""A report on disk: Markdown, and each of its tables as CSV and as LaTeX."""

import pathlib
import re
from collections.abc import Iterator, Sequence

from advjax.reports import page, tables
from advjax.reports.page import Block, Heading
from advjax.reports.tables import Table
from advjax.runtime.atomic import new_file

FOLDER = "tables"
"""The folder of the tables, beside the report."""
_LONGEST = 60
"""Letters of a table's name."""


def write_report(
    file: pathlib.Path, blocks: Sequence[Block], *, origin: Sequence[str] = ()
) -> None:
    r"""Write a report in Markdown, and each table of results in two more forms.

    `tables/NAME.csv` is for programs and `tables/NAME.tex` for `\input` in LaTeX, which
    needs the package booktabs. The headings above a table are its caption and, in lower
    case with underscores, its name. A table in `page.Settings` has no such files.

    Args:
        file: the Markdown file; its folder is made if missing.
        blocks: parts of the report; a text is Markdown.
        origin: the commands behind the numbers, for a comment in the LaTeX files.
    """
    folder = file.parent / FOLDER
    file.parent.mkdir(parents=True, exist_ok=True)
    names: set[str] = set()
    for caption, table in _captioned(blocks):
        folder.mkdir(exist_ok=True)
        name = _free_name(caption, names)
        names.add(name)
        comments = ["needs the package booktabs", *origin]
        # A line break would end the comment.
        head = "".join(f"% {' '.join(line.split())}\n" for line in comments)
        latex = tables.as_latex(table, caption=caption, label=f"tab:{name}")
        _write(folder / f"{name}.csv", tables.as_csv(table))
        _write(folder / f"{name}.tex", f"{head}{latex}\n")
    _write(file, page.as_markdown(blocks))


def _captioned(blocks: Sequence[Block]) -> Iterator[tuple[str, Table]]:
    """Each table of results with the headings above it, the report's title left out."""
    above: dict[int, str] = {}
    for block in blocks:
        found = []
        if isinstance(block, Heading):
            found = [(block.level, block.text)]
        elif isinstance(block, str):
            lines = re.findall(r"^(#+) (.+)$", block, re.MULTILINE)
            found = [(len(marks), text) for marks, text in lines]
        for level, text in found:
            above = {at: above[at] for at in above if at < level} | {level: text}
        if isinstance(block, Table):
            texts = [text for at, text in above.items() if at > 1]
            yield ": ".join(texts or above.values()), block


def _free_name(caption: str, taken: set[str]) -> str:
    """A name for files, of ASCII letters, digits and underscores."""
    name = re.sub(r"[^a-z0-9]+", "_", caption.lower())[:_LONGEST].strip("_") or "table"
    number = 2
    free = name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _write(file: pathlib.Path, text: str) -> None:
    with new_file(file) as aside:
        aside.write_text(text, encoding="utf-8")
