"""Counts by class: bars and matrices."""

import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Int

from advjax.reports.figures import canvas

_CELL_IN = 0.62
_PANEL_WIDTH_IN = 3.1
_SIZES = {"font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9}


def label_bars_plot(
    counts: Mapping[str, Int[np.ndarray, "classes"]],
    path: str | os.PathLike[str],
    *,
    labels: Sequence[str],
    x_label: str,
    y_label: str,
) -> pathlib.Path:
    """Draw a panel of bars over the classes for each entry; return the path.

    Args:
        counts: by title, the count of each class.
        path: where the PNG goes; its folder is made if missing.
        labels: the name of each class.
        x_label: meaning of the classes.
        y_label: meaning of the counts.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not counts:
        raise ValueError("there is nothing to draw: give at least one panel")
    size_in = 0.32 * len(labels) + 1.6, 1.5 * len(counts) + 1.1
    with canvas.figure(path, *size_in, style=_SIZES) as figure:
        grid = figure.subplots(len(counts), 1, sharex=True, sharey=True, squeeze=False)
        for axes, (title, bars) in zip(grid[:, 0], counts.items(), strict=True):
            axes.bar(np.arange(len(labels)), bars, color="#3b6ea5")
            axes.set_title(title, loc="left")
            axes.yaxis.get_major_locator().set_params(integer=True)
        axes.set_xticks(np.arange(len(labels)), [_plain(name) for name in labels])
        axes.tick_params(axis="x", rotation=60 if len(labels) < 16 else 90)
        axes.set_xlabel(x_label)
        figure.supylabel(y_label)
    return pathlib.Path(path)


def matrix_plot(
    matrices: Mapping[str, Float[np.ndarray, "rows columns"]],
    path: str | os.PathLike[str],
    *,
    texts: Mapping[str, Sequence[Sequence[str]]],
    labels: Sequence[str],
    row_label: str,
    column_label: str,
    value_label: str,
) -> pathlib.Path:
    """Draw a coloured matrix of classes for each entry; return the path.

    Args:
        matrices: by title, values from 0 to 1; NaN stays blank.
        path: where the PNG goes; its folder is made if missing.
        texts: by title, the text in each cell.
        labels: the names of the rows, which are those of the columns.
        row_label: meaning of the rows.
        column_label: meaning of the columns.
        value_label: meaning of the colours.

    Raises:
        ValueError: there is nothing to draw.
    """
    if not matrices:
        raise ValueError("there is nothing to draw: give at least one matrix")
    columns = min(3, len(matrices))
    rows = -(-len(matrices) // columns)
    side = max(_PANEL_WIDTH_IN, _CELL_IN * len(labels) + 1.3)
    size_in = columns * side + 0.8, rows * side
    with canvas.figure(path, *size_in, style=_SIZES) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        ticks = np.arange(len(labels)), [_plain(name) for name in labels]
        for axes, (title, values) in zip(grid.flat, matrices.items(), strict=False):
            shown = axes.imshow(values, vmin=0, vmax=1, cmap="Blues")
            axes.grid(visible=False)
            axes.set_title(title)
            axes.set_yticks(*ticks)
            axes.set_xticks(*ticks, rotation=60, ha="right", rotation_mode="anchor")
            for row, column in np.ndindex(values.shape):
                dark = values[row, column] > 0.6
                axes.text(
                    column, row, texts[title][row][column], ha="center", va="center",
                    fontsize=8, color="white" if dark else "black",
                )  # fmt: skip
        for axes in grid.flat[len(matrices) :]:
            axes.set_axis_off()
        figure.supylabel(row_label)
        figure.supxlabel(column_label)
        figure.colorbar(shown, ax=grid, aspect=40, pad=0.01).set_label(value_label)
    return pathlib.Path(path)


def _plain(name: str) -> str:
    return name.replace("_", " ")
