"""Tables of runs, for the terminal, Markdown and LaTeX.

A builder gives a `Table` of text cells; `as_text`, `as_markdown` and `as_latex` print
it. A radius beyond a run's cap is a dash: the run could not have certified it whatever
the network does, which is no measurement of 0.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from advjax.metrics.certified import (
    abstain_rate,
    average_certified_radius,
    certified_accuracy,
    clean_accuracy,
)
from advjax.metrics.shares import Share
from advjax.reports.rows import Run

# The radii and noises of O'Reilly's tables; the noises go on to those of his table of
# maximum radii.
PUBLICATION_RADII = (0.01, 0.05, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
PUBLICATION_SIGMAS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
PUBLICATION_COUNTS = (1_000, 10_000, 100_000)
DASH = "–"
INTERVAL_NOTE = (
    "[low, high]: where the true rate lies with 95 % confidence, from so many clips "
    "(Clopper and Pearson 1934)"
)

# Entries of O'Reilly's table of maximum radii (alpha = 0.001) that the formula does not
# give, by (sigma, n): what he printed, and how the slip came about.
_SLIPS = {
    (0.5, 10_000): ("1.160", "a digit slip of 1.60"),
    (1.0, 10_000): ("3.320", "a digit slip of 3.20"),
    (2.0, 1_000): ("4.923", "a slip in the last digit"),
    (2.0, 10_000): ("6.400", "3.2 sigma, rounded early"),
    (3.0, 10_000): ("9.600", "3.2 sigma, rounded early"),
}
_SLIPS_ALPHA = 0.001


class Table(NamedTuple):
    """Cells of text with a header, and the notes below them."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def certified_accuracy_table(
    runs: Sequence[Run], radii: Sequence[float] = PUBLICATION_RADII
) -> Table:
    """Certified accuracy at each radius, one row per run.

    Before the radii come the number of points, the accuracy of the smoothed classifier
    on clean input (abstentions count as wrong), the share of abstentions and the
    average certified radius ("ACR", in the units of the representation).

    Args:
        runs: each with a label that says corpus, representation, sigma and defence.
        radii: in the units of the representation.

    Raises:
        ValueError: a run has no rows.
    """
    header = ["run", "points", "clean", "abstain", "ACR", *(f"r={r:g}" for r in radii)]
    return Table(
        header,
        [_certified_accuracy_row(run, radii) for run in runs],
        [
            "clean: accuracy of the smoothed classifier, abstentions wrong; "
            "ACR: average certified radius; "
            f"{DASH}: beyond the largest radius that this run could certify"
        ],
    )


def maximum_radius_table(
    cap: Callable[[float, int], float],
    *,
    alpha: float,
    sigmas: Sequence[float] = PUBLICATION_SIGMAS,
    counts: Sequence[int] = PUBLICATION_COUNTS,
) -> Table:
    """The largest certifiable radius for each noise and number of samples.

    Args:
        cap: gives the radius for (sigma, n) when all n votes agree:
            sigma * PhiInv(alpha ** (1 / n)) for Gaussian noise.
        alpha: the failure probability that `cap` has been given.
        sigmas: noise deviations, one row each.
        counts: numbers of estimation samples, one column each.

    Returns:
        Radii to three digits. At the publication's alpha, the entries where its table
        differs are starred and listed below.
    """
    rows, notes = [], []
    for sigma in sigmas:
        cells = [f"{sigma:.2f}"]
        for count in counts:
            radius = f"{cap(sigma, count):.3f}"
            slip = _SLIPS.get((sigma, count)) if alpha == _SLIPS_ALPHA else None
            if slip:
                printed, reason = slip
                notes.append(
                    f"* sigma {sigma:g}, n {count:,}: {radius}; "
                    f"the publication prints {printed}, {reason}"
                )
            cells.append(radius + ("*" if slip else ""))
        rows.append(cells)
    header = ["sigma", *(f"n={count:,}" for count in counts)]
    return Table(header, rows, [f"alpha = {alpha:g}, all n votes agreeing", *notes])


def share_text(share: Share, digits: int = 3) -> str:
    """A share with its 95 % interval, such as `0.900 [0.73, 0.98]`; a dash of none."""
    if not share.total:
        return DASH
    low, high = share.interval()
    return f"{share.value:.{digits}f} [{low:.2f}, {high:.2f}]"


def percent_text(share: Share, digits: int = 0) -> str:
    """A share in percent with its 95 % interval, such as `90 [73, 98]`."""
    if not share.total:
        return DASH
    low, high = share.interval()
    return f"{100 * share.value:.{digits}f} [{100 * low:.0f}, {100 * high:.0f}]"


def as_text(table: Table) -> str:
    """The table for a terminal: aligned columns, a rule under the header."""
    cells = [list(table.header), *(list(row) for row in table.rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(
                row, widths, _to_the_right(table), strict=True
            )
        ).rstrip()
        for row in cells
    ]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join([*lines, *table.notes])


def as_markdown(table: Table) -> str:
    """The table in Markdown, with its notes as a list below."""
    rules = ["---:" if right else "---" for right in _to_the_right(table)]
    lines = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |"
        for row in (table.header, rules, *table.rows)
    ]
    # A star would start a list or emphasis of its own.
    notes = ["- " + note.replace("*", r"\*") for note in table.notes]
    return "\n".join(lines + ([""] + notes if notes else []))


def as_latex(table: Table) -> str:
    """The table as a LaTeX `tabular` (package booktabs), its notes as lines below."""
    columns = "".join("r" if right else "l" for right in _to_the_right(table))
    body = [" & ".join(map(_latex, row)) + r" \\" for row in table.rows]
    return "\n".join(
        [
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            " & ".join(map(_latex, table.header)) + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            *(r"\par\footnotesize " + _latex(note) for note in table.notes),
        ]
    )


def markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Any cells of text as a Markdown table; columns of numbers go to the right."""
    return as_markdown(Table(header, rows))


def _certified_accuracy_row(run: Run, radii: Sequence[float]) -> list[str]:
    rows = run.rows
    shares = certified_accuracy(
        rows.correct, rows.radius, np.asarray(radii, dtype=np.float64)
    )
    return [
        run.label,
        str(len(rows)),
        f"{clean_accuracy(rows.correct):.3f}",
        f"{abstain_rate(rows.predict):.3f}",
        f"{average_certified_radius(rows.correct, rows.radius):.4f}",
        *(
            DASH if radius > run.cap else f"{share:.3f}"
            for radius, share in zip(radii, shares, strict=True)
        ),
    ]


def _to_the_right(table: Table) -> list[bool]:
    """For each column, whether all its cells are numbers, dashes or empty."""
    if not table.rows:
        return [False] * len(table.header)
    return [
        all(_is_number(cell) for cell in column)
        for column in zip(*table.rows, strict=True)
    ]


def _is_number(cell: str) -> bool:
    bare = cell.strip().rstrip("*%").replace(",", "")
    if bare in ("", DASH):
        return True
    try:
        float(bare)
    except ValueError:
        return False
    return True


_LATEX = {character: "\\" + character for character in "&%$#_{}"} | {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    DASH: "--",
}


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
