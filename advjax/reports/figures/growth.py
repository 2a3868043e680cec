"""Panels of lines on logarithmic axes."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from advjax.reports.figures import canvas

_PANEL_IN = (3.8, 2.6)
_HANDLE_IN, _LETTER_IN = 0.7, 0.085
"""Widths in a legend: of a line's picture with its margins, and of a letter."""
Line = Sequence[tuple[float, float]]


def log_log_plot(
    panels: Mapping[str, Mapping[str, Line]],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
) -> pathlib.Path:
    """Draw panels of lines on logarithmic axes; return the path.

    Panels share both scales and, below them, one legend.

    Args:
        panels: by title, the points of each line by its label. Panels are two in a row,
            and a label has one colour in all of them.
        path: where the PNG goes; its folder is made if missing.
        x_label: meaning of the first coordinates, with their unit.
        y_label: meaning of the second coordinates, with their unit.
        title: a line above the panels.

    Raises:
        ValueError: there are no panels, or a coordinate is not positive.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    lines = [line for panel in panels.values() for line in panel.values()]
    if not lines:
        raise ValueError("there is nothing to draw: give at least one line")
    if not all(value > 0 for line in lines for point in line for value in point):
        raise ValueError("a logarithmic axis shows positive numbers only")
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    height_in = rows * _PANEL_IN[1] + canvas.LEGEND_LINE_IN * len(labels)
    entry_in = _HANDLE_IN + _LETTER_IN * max(map(len, labels))
    width_in = max(columns * _PANEL_IN[0], entry_in)
    with canvas.figure(path, width_in, height_in) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        shown = {}
        for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
            axes.set(xscale="log", yscale="log", title=canvas.plain(name))
            for axis in (axes.xaxis, axes.yaxis):
                # Ticks between powers of ten too: an axis may hold only one power.
                axis.set_major_locator(LogLocator(subs=(1, 3)))
                axis.set_major_formatter(EngFormatter(sep=""))
                axis.set_minor_formatter(NullFormatter())
            for label, line in panel.items():
                look = canvas.look(labels.index(label))
                (shown[label],) = axes.plot(
                    *zip(*line, strict=True), marker="o", **look
                )
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        # A label of the whole figure would cover the legend.
        for column in range(columns):
            lowest = [axes for axes in grid[:, column] if axes.figure is not None][-1]
            lowest.set_xlabel(x_label)
        figure.supylabel(y_label)
        figure.suptitle(title)
        names = [canvas.plain(label) for label in labels]
        figure.legend(
            [shown[label] for label in labels],
            names,
            loc="outside lower center",
            frameon=False,
            ncols=2 if 2 * entry_in <= width_in else 1,
        )
    return pathlib.Path(path)
