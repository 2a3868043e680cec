"""Panels of staircases: the share of examples that succeed by size."""

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.reports.figures import canvas

_PANEL_IN = (2.5, 1.9)
_LEGEND_LINE_IN = 0.3
_SIZES = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.labelsize": 9,
    "figure.labelsize": 10,
}


class Staircase(NamedTuple):
    """Sizes of successful perturbations of the examples of one curve.

    Attributes:
        label: name in the legend. In all panels, the part before a comma decides the
            colour and the part after it the style.
        sizes: the smallest successful size of each example; inf if none succeeds.
        unit: unit of the sizes.
    """

    label: str
    sizes: Float[np.ndarray, "examples"]
    unit: str


def staircase_plot(
    panels: Mapping[tuple[str, str], Sequence[Staircase]],
    path: str | os.PathLike[str],
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    y_label: str,
) -> pathlib.Path:
    """Draw the share of examples that succeed by size, in panels; return the path.

    Sizes are on a logarithmic axis that the panels of a column share.

    Args:
        panels: the curves of each (row, column); panels may be missing.
        path: where the PNG goes; its folder is made if missing.
        rows: names of the rows, from above.
        columns: names of the columns, from the left.
        y_label: meaning of the shares.

    Raises:
        ValueError: there are no panels.
    """
    from matplotlib.ticker import NullFormatter

    if not panels:
        raise ValueError("there is nothing to draw: give at least one panel")
    labels = list(
        dict.fromkeys(one.label for panel in panels.values() for one in panel)
    )
    names = list(dict.fromkeys(label.partition(",")[0] for label in labels))
    kinds = list(dict.fromkeys(label.partition(",")[2] for label in labels))
    legend_in = _LEGEND_LINE_IN * (len(labels) + 2) / 3
    with canvas.figure(
        path,
        len(columns) * _PANEL_IN[0],
        len(rows) * _PANEL_IN[1] + legend_in,
        style=_SIZES,
    ) as figure:
        grid = figure.subplots(
            len(rows), len(columns), sharex="col", sharey=True, squeeze=False
        )
        shown = {}
        for (row, column), panel in panels.items():
            axes = grid[rows.index(row), columns.index(column)]
            axes.set(xscale="log", ylim=(-0.02, 1.02))
            axes.xaxis.set_minor_formatter(NullFormatter())
            for one in panel:
                name, _, kind = one.label.partition(",")
                edges = np.sort(one.sizes[np.isfinite(one.sizes)])
                shares = np.arange(1, len(edges) + 1) / max(1, len(one.sizes))
                (shown[one.label],) = axes.step(
                    edges,
                    shares,
                    where="post",
                    linewidth=1.5,
                    color=canvas.look(names.index(name))["color"],
                    linestyle=canvas.look(kinds.index(kind))["linestyle"],
                )
        for index, column in enumerate(columns):
            grid[0, index].set_title(column)
            units = {
                one.unit
                for (_, at), panel in panels.items()
                if at == column
                for one in panel
            }
            grid[-1, index].set_xlabel(" or ".join(sorted(units)))
        for index, row in enumerate(rows):
            # A panel is too low for long names on one line.
            grid[index, 0].set_ylabel(row.replace(", ", ",\n"))
        figure.supylabel(y_label)
        figure.legend(
            [shown[label] for label in labels],
            labels,
            loc="outside lower center",
            frameon=False,
            ncols=3,
        )
    return pathlib.Path(path)
