"""Tables of runs, for the terminal, Markdown, HTML, LaTeX and CSV.

A builder makes a `Table` of text cells; `as_text`, `as_markdown`, `as_html`, `as_latex`
and `as_csv` print it. A dash stands for a radius beyond a run's cap. No network could
have been certified there with so many votes, so an accuracy of 0 would mislead.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from html import escape
from typing import NamedTuple

import numpy as np

from advjax.metrics.certified import (
    abstain_rate,
    average_certified_radius,
    certified_accuracy_lower_bound,
)
from advjax.metrics.clustered import ClusteredShare
from advjax.metrics.shares import Share, share_of
from advjax.runs.row_types import Run

PUBLICATION_RADII = (0.01, 0.05, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
"""The radii of O'Reilly's (2020) tables."""
DASH = "–"
INTERVAL_NOTE = (
    "in brackets or below a rate: its 95 % interval for this number of clips (Clopper "
    "and Pearson 1934)"
)
CLUSTERS_NOTE = (
    "in brackets or below a rate: its 95 % interval by the bootstrap over utterances, "
    "as crops of one utterance are not independent; it is too narrow near 0 and 1, and "
    "where all crops agree it is Clopper and Pearson's for as many utterances"
)


class Table(NamedTuple):
    """Cells of text, with a header above and notes below."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def certified_accuracy_table(
    runs: Sequence[Run], radii: Sequence[float] = PUBLICATION_RADII
) -> Table:
    """Certified accuracy at each radius, one row per run.

    Before the radii come the number of points, the accuracy of the smoothed classifier
    (abstentions count as wrong), the share of abstentions and the average certified
    radius ("ACR", in the units of the representation). Accuracies have 95 % intervals
    over the points; a note gives their lower bound if certificates may be wrong.

    Args:
        runs: each with a label that names corpus, representation, sigma and defence.
        radii: in the units of the representation.

    Raises:
        ValueError: a run has no rows.
    """
    return Table(
        ["run", "points", "smoothed", "abstain", "ACR", *(f"r={r:g}" for r in radii)],
        [_certified_accuracy_row(run, radii) for run in runs],
        [
            "smoothed: accuracy of the smoothed classifier (abstentions are wrong), "
            "which is the certified accuracy at radius 0",
            "ACR: average certified radius",
            f"{DASH}: beyond the largest radius that this run could certify",
            INTERVAL_NOTE,
            *_doubts(runs),
        ],
    )


def _doubts(runs: Sequence[Run]) -> list[str]:
    """Lower bounds over the noise, a line for each alpha and number of points."""
    found = {}
    for run in runs:
        if run.alpha is not None:
            found.setdefault((run.alpha, len(run.rows)), []).append(run.label)
    notes = []
    for (alpha, num_points), labels in found.items():
        (least,) = certified_accuracy_lower_bound(
            np.ones(1), num_points=num_points, alpha=alpha, rho=0.05
        )
        whose = f" ({', '.join(labels)})" if len(found) > 1 else ""
        notes.append(
            f"each certificate may be wrong with probability {alpha:g}: with 95 % "
            f"confidence, at least the certified accuracy minus {1 - least:.3f} of "
            f"these {num_points} points are robust at a radius{whose} (Cohen et al. "
            "2019, appendix F)"
        )
    return notes


def share_text(share: Share | ClusteredShare, digits: int = 3) -> str:
    """A share with its 95 % interval, such as `0.900 [0.73, 0.98]`; a dash if empty."""
    if not share.total:
        return DASH
    low, high = share.interval()
    return f"{share.value:.{digits}f} [{low:.2f}, {high:.2f}]"


def percent_text(share: Share | ClusteredShare, digits: int = 0) -> str:
    """A share in percent with its 95 % interval, such as `90 [73, 98]`."""
    if not share.total:
        return DASH
    low, high = share.interval()
    return f"{100 * share.value:.{digits}f} [{100 * low:.0f}, {100 * high:.0f}]"


def as_text(table: Table, width: int = 100) -> str:
    """The table for a terminal: aligned columns, a rule under the header.

    If the table is wider than `width`, headers have a second line in place of the rule,
    and rows have their units and intervals on a second line, as `.73–.98`.
    """
    cells = [[[cell] for cell in row] for row in (table.header, *table.rows)]
    if sum(_widths(cells)) + 2 * len(table.header) - 2 > width:
        cells = [
            [_header_lines(cell) for cell in table.header],
            *([_lines(cell) for cell in row] for row in table.rows),
        ]
    return "\n".join([*_aligned(cells, _to_the_right(table)), *table.notes])


def _lines(cell: str) -> list[str]:
    """The lines of a cell: a share and its interval, or a number and its unit."""
    if found := re.fullmatch(r"(\S+) \[(\S+), (\S+)\](.*)", cell):
        share, low, high, rest = found.groups()
        ends = [re.sub(r"^0(?=\.)|\.00$", "", end) or "0" for end in (low, high)]
        return [share, f"{ends[0]}–{ends[1]}{rest}"]
    found = re.fullmatch(r"([\d.e+-]+) (\(.*\))", cell)
    return [*found.groups()] if found else [cell]


def _header_lines(cell: str) -> list[str]:
    """The lines of a header, broken at the space nearest to the middle."""
    spaces = [i for i, letter in enumerate(cell) if letter == " "]
    if not spaces:
        return [cell]
    middle = min(spaces, key=lambda i: abs(i - len(cell) / 2))
    return [cell[:middle], cell[middle + 1 :]]


def _widths(cells: Sequence[Sequence[Sequence[str]]]) -> list[int]:
    return [
        max(len(line) for cell in column for line in cell)
        for column in zip(*cells, strict=True)
    ]


def _aligned(
    cells: Sequence[Sequence[Sequence[str]]], right: Sequence[bool]
) -> Iterator[str]:
    widths = _widths(cells)
    for number, row in enumerate(cells):
        if number == 0:
            # The second line of the header is in the rule.
            row = [
                [*cell, "─" * width][:2]
                for cell, width in zip(row, widths, strict=True)
            ]
        for depth in range(max(map(len, row))):
            texts = [cell[depth] if depth < len(cell) else "" for cell in row]
            yield "  ".join(
                text.rjust(width) if to_right else text.ljust(width)
                for text, width, to_right in zip(texts, widths, right, strict=True)
            ).rstrip()


def as_markdown(table: Table) -> str:
    """The table in Markdown, with its notes as a list below."""
    rules = ["---:" if right else "---" for right in _to_the_right(table)]
    lines = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
        for row in (table.header, rules, *table.rows)
    ]
    # Markdown would take a star for a list or for emphasis.
    notes = ["- " + note.replace("*", r"\*") for note in table.notes]
    return "\n".join(lines + ([""] + notes if notes else []))


def as_html(table: Table) -> str:
    """The table in HTML, with its notes as a list below; all texts are escaped.

    Units and intervals have a line of their own.
    """
    right = _to_the_right(table)

    def row(cells: Sequence[str], tag: str) -> str:
        found = []
        for cell, is_number in zip(cells, right, strict=True):
            first, *more = (
                [escape(line) for line in _lines(cell)]
                if tag == "td"
                else [escape(cell)]
            )
            more = [f"<small>{line}</small>" for line in more]
            kind = ' class="number"' if is_number else ""
            found.append(f"<{tag}{kind}>{first}{''.join(more)}</{tag}>")
        return f"<tr>{''.join(found)}</tr>"

    rows = "".join(row(cells, "td") for cells in table.rows)
    notes = "".join(f"<li>{escape(note)}</li>" for note in table.notes)
    return (
        f'<div class="wide"><table><thead>{row(table.header, "th")}</thead>'
        f"<tbody>{rows}</tbody></table></div>"
        + (f'<ul class="notes">{notes}</ul>' if notes else "")
    )


def as_latex(table: Table, *, caption: str = "", label: str = "") -> str:
    """The table as a LaTeX `tabular` (package booktabs), its notes as lines below.

    Greek letters and signs become commands. XeLaTeX and LuaLaTeX set letters of other
    scripts; pdfLaTeX refuses them.

    Args:
        table: the table.
        caption: of the float `table` around it; without one there is no float.
        label: for `ref`.
    """
    columns = "".join("r" if right else "l" for right in _to_the_right(table))
    header, *body = (_latex_row(row) for row in (table.header, *table.rows))
    lines = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        header,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        *(r"\par\footnotesize " + _latex(note) for note in table.notes),
    ]
    if caption:
        head = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(caption)}}}"]
        head += [rf"\label{{{label}}}"] if label else []
        lines = [*head, *lines, r"\end{table}"]
    return "\n".join(lines)


def as_csv(table: Table) -> str:
    """The table as CSV, for programs; its notes are left out.

    A column of rates has two more behind it, "NAME low" and "NAME high", the ends of
    their intervals. Counts `k/n` are in "NAME count" and "NAME total", units and norms
    in "NAME unit". Numbers are those of the table, without commas between thousands; a
    dash becomes an empty cell.
    """
    columns = []
    for index, name in enumerate(table.header):
        columns += _csv_columns(name, [row[index] for row in table.rows])
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows(zip(*columns, strict=True))
    return file.getvalue()


def _csv_columns(name: str, cells: Sequence[str]) -> list[list[str]]:
    """The columns of numbers that a column stands for, or itself if it has texts."""
    cells = ["" if cell.strip() == DASH else cell.strip() for cell in cells]
    found = [_NUMBER.fullmatch(cell) for cell in cells]
    if not all(match or not cell for match, cell in zip(found, cells, strict=True)):
        return [[name, *(cell.replace("`", "") for cell in cells)]]
    parts = [match.groupdict("") if match else {} for match in found]
    columns = [[name, *(each.get("value", "").replace(",", "") for each in parts)]]
    for part in ("low", "high", "count", "total", "unit"):
        texts = [each.get(part, "") for each in parts]
        if any(texts):
            columns.append([f"{name} {part}", *texts])
    return columns


_NUMBER = re.compile(
    r"\+?(?P<value>-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:e[+-]?\d+)?|-?inf|nan)\*?"
    r"(?: \[(?P<low>\S+), (?P<high>\S+)\])?(?: (?P<count>\d+)/(?P<total>\d+))?"
    r"(?: \((?P<unit>[^()]+)\))?"
)
"""A number, starred or not, with its interval, counts and unit as builders write."""


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells of text as a Markdown table, with columns of numbers to the right."""
    return as_markdown(Table(header, rows))


def _certified_accuracy_row(run: Run, radii: Sequence[float]) -> list[str]:
    rows = run.rows
    return [
        run.label,
        str(len(rows)),
        share_text(share_of(rows.correct)),
        f"{abstain_rate(rows.predict):.3f}",
        f"{average_certified_radius(rows.correct, rows.radius):.4f}",
        *(
            DASH
            if radius > run.cap
            else share_text(share_of(rows.correct & (rows.radius >= radius)))
            for radius in radii
        ),
    ]


def _to_the_right(table: Table) -> list[bool]:
    """True for each column whose cells are numbers, dashes or empty."""
    if not table.rows:
        return [False] * len(table.header)
    return [
        all(_is_number(cell) for cell in column)
        for column in zip(*table.rows, strict=True)
    ]


def _is_number(cell: str) -> bool:
    bare = re.sub(r" \[[^\]]*\]( \d+/\d+)?$", "", cell.strip())
    bare = bare.rstrip("*%").replace(",", "")
    if bare in ("", DASH):
        return True
    try:
        float(bare)
    except ValueError:
        return False
    return True


_LATEX = (
    {character: "\\" + character for character in "&%$#_{}"}
    | {
        character: rf"\text{name}{{}}"
        for character, name in {
            "\\": "backslash", "~": "asciitilde", "^": "asciicircum",
            "<": "less", ">": "greater", "|": "bar", DASH: "endash", "—": "emdash",
        }.items()
    }
    | {
        character: rf"$\{name}$"
        for character, name in {
            "α": "alpha", "β": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon",
            "λ": "lambda", "μ": "mu", "µ": "mu", "ρ": "rho", "σ": "sigma",
            "τ": "tau", "φ": "phi", "ω": "omega", "≤": "leq", "≥": "geq", "≈": "approx",
            "×": "times", "·": "cdot", "±": "pm", "∞": "infty", "→": "rightarrow",
        }.items()
    }
    | {"−": "$-$", "…": r"\ldots{}"}
)  # fmt: skip


def _latex(text: str) -> str:
    """A text of one line; words in backticks are of one width."""
    text = "".join(_LATEX.get(character, character) for character in text)
    text = re.sub("`([^`]+)`", r"\\texttt{\1}", " ".join(text.split()))
    return re.sub("-(?=-)", "-{}", text)  # LaTeX would join two into a dash.


def _latex_row(cells: Sequence[str]) -> str:
    row = " & ".join(map(_latex, cells)) + r" \\"
    # After the end of a row, a bracket or star would be its argument.
    return "{}" + row if row.startswith(("[", "*")) else row
