"""Tables and figures of runs and of one's own results.

Experiments write rows and reports read them: files of `advjax.runs` are all that they
share. `certified_accuracy` draws on axes of one's own, `*_plot` write a PNG.
"""

from advjax.reports.figures import (
    AttackedCurve,
    attacked_accuracy_plot,
    certified_accuracy,
    certified_accuracy_plot,
)
from advjax.reports.tables import (
    Table,
    as_csv,
    as_html,
    as_latex,
    as_markdown,
    as_text,
    certified_accuracy_table,
    markdown_table,
    percent_text,
    share_text,
)

__all__ = [
    "AttackedCurve",
    "Table",
    "as_csv",
    "as_html",
    "as_latex",
    "as_markdown",
    "as_text",
    "attacked_accuracy_plot",
    "certified_accuracy",
    "certified_accuracy_plot",
    "certified_accuracy_table",
    "markdown_table",
    "percent_text",
    "share_text",
]
