"""Lines over one quantity."""

import os
import pathlib
from collections.abc import Mapping, Sequence

from advjax.reports.figures import canvas

_WIDTH_IN = 7.5
_AXES_HEIGHT_IN = 4.0
_MOST_DOTS = 20
"""Points of a line that are drawn as dots, too."""
SCALES = ("linear", "log", "logit")
"""Scales of the horizontal axis; logit is for probabilities near 0 and 1."""


def line_plot(
    lines: Mapping[str, Sequence[tuple[float, float]]],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str,
    x_scale: str = "linear",
    title: str = "",
) -> pathlib.Path:
    """Draw lines over one quantity, with a legend below; return the path.

    Args:
        lines: the points of each line by its label.
        path: where the PNG goes; its folder is made if missing.
        x_label: meaning of the first coordinates, with their unit.
        y_label: meaning of the second coordinates, with their unit. Their axis begins
            at 0.
        x_scale: one of `SCALES`.
        title: a line above the axes.

    Raises:
        ValueError: there are no lines, or an unknown scale.
    """
    if not lines:
        raise ValueError("there is nothing to draw: give at least one line")
    if x_scale not in SCALES:
        raise ValueError(f"x_scale={x_scale!r}: choose one of {', '.join(SCALES)}")
    height_in = _AXES_HEIGHT_IN + canvas.LEGEND_LINE_IN * len(lines)
    with canvas.figure(path, _WIDTH_IN, height_in) as figure:
        axes = figure.add_subplot()
        axes.set(xscale=x_scale, xlabel=x_label, ylabel=y_label)
        axes.set_title(canvas.plain(title))
        for index, (label, line) in enumerate(lines.items()):
            look = {"label": canvas.plain(label), **canvas.look(index)}
            dots = {"marker": "o"} if len(line) <= _MOST_DOTS else {}
            axes.plot(*zip(*line, strict=True), **dots, **look)
        if x_scale == "logit":
            _label_probabilities(axes)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside lower center", frameon=False)
    return pathlib.Path(path)


def _label_probabilities(axes) -> None:
    """Ticks at 0.1, 0.5, 0.9, 0.99 and so on, in plain digits."""
    from matplotlib.ticker import FixedLocator, NullFormatter

    low, high = axes.get_xlim()
    upper = [1 - 10.0**-k for k in range(1, 16)]
    ticks = [p for p in (*(1 - p for p in upper), 0.5, *upper) if low <= p <= high]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.set_xticks(ticks, [f"{p:.15g}" for p in ticks])
    axes.xaxis.set_minor_formatter(NullFormatter())
