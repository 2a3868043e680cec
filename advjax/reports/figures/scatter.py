"""Pairs of sizes as dots about the diagonal."""

import os
import pathlib
from collections.abc import Sequence

from advjax.reports.figures import canvas

_SIDE_IN = 5.4


def two_sizes_plot(
    x: Sequence[float],
    y: Sequence[float],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str,
    above: str,
    below: str,
    title: str = "",
) -> pathlib.Path:
    """Draw pairs of sizes on logarithmic axes, with the diagonal; return the path.

    Dots above the diagonal have another colour than those below.

    Args:
        x: the first size of each pair.
        y: the second size of each pair.
        path: where the PNG goes; its folder is made if missing.
        x_label: meaning of the first sizes, with their unit.
        y_label: meaning of the second sizes, with their unit.
        above: meaning of a dot above the diagonal, for the legend.
        below: meaning of a dot on or below it.
        title: a line above the axes.

    Raises:
        ValueError: there are no pairs, or a size is not positive.
    """
    if not x or min(*x, *y) <= 0:
        raise ValueError("a logarithmic axis shows positive numbers: give some")
    pairs = list(zip(x, y, strict=True))
    with canvas.figure(path, _SIDE_IN, _SIDE_IN) as figure:
        axes = figure.add_subplot()
        axes.set(xscale="log", yscale="log", xlabel=x_label, ylabel=y_label)
        axes.set_title(canvas.plain(title))
        ends = min(*x, *y) / 2, max(*x, *y) * 2
        axes.plot(ends, ends, color="#666666", linewidth=1)
        for index, (text, chosen) in enumerate(
            (
                (below, [pair for pair in pairs if pair[1] <= pair[0]]),
                (above, [pair for pair in pairs if pair[1] > pair[0]]),
            )
        ):
            axes.plot(
                *(zip(*chosen, strict=True) if chosen else ([], [])),
                color=canvas.look(index)["color"],
                label=f"{text}: {len(chosen)}",
                marker="o",
                linestyle="",
            )
        figure.legend(loc="outside lower center", frameon=False)
    return pathlib.Path(path)
