"""Figures of runs, as PNG. This and `panels` are the files that import matplotlib.

Figures are made through matplotlib's objects, never through `pyplot`: no window, no
state shared between figures, and the same rows give the same bytes.
"""

import contextlib
import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.metrics.certified import certified_accuracy, clean_accuracy
from advjax.runs.row_types import Run

# Okabe and Ito, "Color universal design" (2008): told apart under every common colour
# blindness. Their yellow is left out, being unreadable as a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))
STYLE = {
    "font.size": 11,
    "axes.titlesize": 13,
    "axes.labelsize": 12,
    "legend.fontsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.8,
    "axes.axisbelow": True,
}
_END = {
    "marker": "o",
    "markersize": 8,
    "markeredgecolor": "white",
    # Whole also on the axes' edge, but without pushing the axes about.
    "clip_on": False,
    "in_layout": False,
    "zorder": 3,
}
DPI = 160
_WIDTH_IN = 7.5
_AXES_HEIGHT_IN = 4.4
_LEGEND_LINE_IN = 0.22
_PANEL_IN = (2.1, 1.5)
_PANEL_DPI = 110
_GROWTH_IN = (3.8, 2.6)


def certified_accuracy_plot(
    runs: Sequence[Run],
    path: str | os.PathLike[str],
    *,
    units: str,
    norm: str = "l2",
    title: str = "",
) -> pathlib.Path:
    """The path of a PNG with the certified accuracy over the radius, a curve per run.

    The curve steps down after the radius of each correct point and ends in a dot at the
    run's cap, the largest radius it could certify. The legend, below the axes, gives
    each run's clean accuracy.

    Args:
        runs: one curve each. Seven colours and four kinds of line make 28 of them
            distinct; about ten can be read.
        path: where the PNG goes; its folder is made if missing.
        units: the representation that the radii are measured in, such as "mfbe".
        norm: the norm of the radii.
        title: a line above the axes.

    Raises:
        ValueError: there are no runs, or a run has no rows.
    """
    if not runs:
        raise ValueError("there is nothing to draw: give at least one run")
    with _accuracy_axes(
        path,
        num_lines=len(runs) + 1,
        x_label=f"{norm} radius (units of {units})",
        y_label="certified accuracy",
        title=title,
    ) as axes:
        for index, run in enumerate(runs):
            radius, accuracy = curve(run)
            look = _look(index)
            axes.step(
                radius,
                accuracy,
                # The accuracy at a radius includes the points that have just it.
                where="pre",
                label=f"{_plain(run.label)}  (clean "
                f"{clean_accuracy(run.rows.correct):.2f})",
                **look,
            )
            if math.isfinite(run.cap):
                axes.plot(radius[-1], accuracy[-1], color=look["color"], **_END)
        if any(math.isfinite(run.cap) for run in runs):
            note = "the largest radius that the run could certify"
            axes.plot([], [], color="#666666", linestyle="", label=note, **_END)
        axes.set_xlim(0, _right_edge(runs))
    return pathlib.Path(path)


class AttackedCurve(NamedTuple):
    """Accuracy under one attack over the size of its perturbations.

    Attributes:
        label: its name in the legend.
        size: perturbations, rising.
        accuracy: what is left at each.
        stepped: whether accuracy falls at each size, as under an attack that finds the
            smallest perturbation of each example, and is known in between too.
    """

    label: str
    size: Float[np.ndarray, "points"]
    accuracy: Float[np.ndarray, "points"]
    stepped: bool = False


def attacked_accuracy_plot(
    curves: Sequence[AttackedCurve],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str = "accuracy under attack",
    weaker_to_the_right: bool = False,
    logarithmic: bool = False,
    title: str = "",
) -> pathlib.Path:
    """The path of a PNG with the accuracy under attack over the size of perturbations.

    Args:
        curves: what to draw; budgets are dots with a line through them.
        path: where the PNG goes; its folder is made if missing.
        x_label: what sizes are, with their unit.
        y_label: what is counted.
        weaker_to_the_right: sizes are signal-to-noise ratios: the axis is turned round,
            so that curves fall to the right in every figure.
        logarithmic: sizes of all orders of magnitude; what holds at 0 is drawn from a
            third of the smallest one on.
        title: a line above the axes.

    Raises:
        ValueError: there are no curves.
    """
    if not curves:
        raise ValueError("there is nothing to draw: give at least one curve")
    with _accuracy_axes(
        path,
        num_lines=len(curves),
        x_label=x_label,
        y_label=y_label,
        title=title,
    ) as axes:
        positive = [one.size[one.size > 0] for one in curves if (one.size > 0).any()]
        left = min(size.min() for size in positive) / 3 if logarithmic else -np.inf
        for index, one in enumerate(curves):
            look = {"label": _plain(one.label), **_look(index)}
            size = np.maximum(one.size, left)
            if one.stepped:
                axes.step(size, one.accuracy, where="post", **look)
            else:
                axes.plot(size, one.accuracy, marker="o", clip_on=False, **look)
        if weaker_to_the_right:
            axes.invert_xaxis()
        if logarithmic:
            axes.set_xscale("log")
    return pathlib.Path(path)


@contextlib.contextmanager
def _accuracy_axes(path, *, num_lines: int, x_label: str, y_label: str, title: str):
    """Axes with accuracy upwards, saved with a legend below them when left."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        height_in = _AXES_HEIGHT_IN + _LEGEND_LINE_IN * num_lines
        figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        yield axes
        axes.set_ylim(0, 1.02)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        axes.set_title(title)
        figure.legend(loc="outside lower center", frameon=False)
        # Without the name of the program the bytes do not depend on its version.
        figure.savefig(path, metadata={"Software": None})


def _look(index: int) -> dict[str, Any]:
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": 2,
    }


def _plain(text: str) -> str:
    """The text without formulas, which a dollar sign would start."""
    return text.replace("$", r"\$")


def image_grid_plot(
    images: Float[np.ndarray, "rows columns frames bands"],
    path: str | os.PathLike[str],
    *,
    row_labels: Sequence[str],
    titles: Sequence[Sequence[str]],
    units: str,
    title: str = "",
    last_is_difference: bool = False,
) -> pathlib.Path:
    """The path of a PNG with a grid of time-frequency images on one scale of colours.

    Time runs to the right and frequency up. The scale spans the 1st to the 99th
    percentile of the first column, so that what is added to the others shows: beyond
    it a colour saturates. Differences have a scale of their own, the same to both sides
    of zero.

    Args:
        images: what each panel shows, the undisturbed ones in the first column.
        path: where the PNG goes; its folder is made if missing.
        row_labels: a name for each row.
        titles: a line or two above each panel.
        units: what the colours measure.
        title: a line above the grid.
        last_is_difference: whether the last column has differences.

    Raises:
        ValueError: labels or titles do not match the grid.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows, columns = images.shape[:2]
    if [len(line) for line in titles] != [columns] * rows or len(row_labels) != rows:
        raise ValueError(
            f"a grid of {rows} x {columns} images needs a label for each row and a "
            "title for each image"
        )
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    low, high = np.percentile(images[:, 0], [1, 99])
    scales = [{"vmin": low, "vmax": high}] * columns
    if last_is_difference:
        largest = np.percentile(np.abs(images[:, -1]), 99) or 1.0
        scales[-1] = {"vmin": -largest, "vmax": largest, "cmap": "RdBu_r"}
    plain = {"axes.grid": False, "axes.titlesize": 10, "axes.labelsize": 11}
    with matplotlib.rc_context(STYLE | plain):
        margin_in = 1.6 if last_is_difference else 0.8
        size_in = (columns * _PANEL_IN[0] + margin_in, rows * _PANEL_IN[1] + 0.6)
        figure = Figure(figsize=size_in, dpi=_PANEL_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        shown_in = []
        for row, column in np.ndindex(rows, columns):
            axes = grid[row, column]
            shown = axes.imshow(
                images[row, column].T,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                **scales[column],
            )
            if row == 0:
                shown_in.append(shown)
            axes.set_title(titles[row][column])
            if column == 0:
                axes.set_ylabel(f"{row_labels[row]}\nband")
            if row == rows - 1:
                axes.set_xlabel("frame")
        bars = [(shown_in[0], units)]
        if last_is_difference:
            bars.append((shown_in[-1], f"difference in {units}"))
        for shown, label in bars:
            bar = figure.colorbar(shown, ax=grid, extend="both", aspect=40, pad=0.01)
            bar.set_label(label)
        if title:
            figure.suptitle(title)
        figure.savefig(path, metadata={"Software": None})
    return path


Line = Sequence[tuple[float, float]]


def log_log_plot(
    panels: Mapping[str, Mapping[str, Line]],
    path: str | os.PathLike[str],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
) -> pathlib.Path:
    """The path of a PNG with how something grows: panels of lines on logarithmic axes.

    Panels share both scales and, below them, one legend.

    Args:
        panels: by title, two in a row: the points of each line by its label. A label
            has one colour in all panels.
        path: where the PNG goes; its folder is made if missing.
        x_label: what points are at, with their unit.
        y_label: what is drawn upwards, with its unit.
        title: a line above the panels.

    Raises:
        ValueError: there are no panels, or a coordinate is not positive.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    lines = [line for panel in panels.values() for line in panel.values()]
    if not lines:
        raise ValueError("there is nothing to draw: give at least one line")
    if not all(value > 0 for line in lines for point in line for value in point):
        raise ValueError("a logarithmic axis shows positive numbers only")
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = list(dict.fromkeys(label for panel in panels.values() for label in panel))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    with matplotlib.rc_context(STYLE):
        height_in = rows * _GROWTH_IN[1] + _LEGEND_LINE_IN * len(labels)
        size_in = (columns * _GROWTH_IN[0], height_in)
        figure = Figure(figsize=size_in, dpi=DPI, layout="constrained")
        FigureCanvasAgg(figure)
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        shown = {}
        for axes, (name, panel) in zip(grid.flat, panels.items(), strict=False):
            axes.set(xscale="log", yscale="log", title=_plain(name))
            for axis in (axes.xaxis, axes.yaxis):
                # Between powers of ten, too: an axis may hold only one of these.
                axis.set_major_locator(LogLocator(subs=(1, 3)))
                axis.set_major_formatter(EngFormatter(sep=""))
                axis.set_minor_formatter(NullFormatter())
            for label, line in panel.items():
                look = _look(labels.index(label))
                (shown[label],) = axes.plot(
                    *zip(*line, strict=True), marker="o", **look
                )
        for axes in grid.flat[len(panels) :]:
            axes.remove()
        # A label of the whole figure would lie on the legend.
        for column in range(columns):
            lowest = [axes for axes in grid[:, column] if axes.figure is not None][-1]
            lowest.set_xlabel(x_label)
        figure.supylabel(y_label)
        figure.suptitle(title)
        names = [_plain(label) for label in labels]
        figure.legend(
            [shown[label] for label in labels],
            names,
            loc="outside lower center",
            frameon=False,
            ncols=2,
        )
        figure.savefig(path, metadata={"Software": None})
    return path


def curve(
    run: Run,
) -> tuple[Float[np.ndarray, "corners"], Float[np.ndarray, "corners"]]:
    """The corners of a run's curve: radii from 0 up, and the accuracy at each one.

    Each accuracy holds on the interval that ends at its radius. The curve ends at the
    cap, where it may still be high: beyond it there is nothing to know. Without a cap
    it falls to 0 after the largest radius.
    """
    rows = run.rows
    held = np.unique(rows.radius[rows.correct])
    radius = np.concatenate([[0.0], held])
    accuracy = certified_accuracy(rows.correct, rows.radius, radius)
    # Equal but for rounding: the radius came from a vote table, the cap from a formula.
    if radius[-1] < run.cap * (1 - 1e-9):
        radius, accuracy = np.append(radius, radius[-1]), np.append(accuracy, 0.0)
        if math.isfinite(run.cap):
            radius, accuracy = np.append(radius, run.cap), np.append(accuracy, 0.0)
    return radius, accuracy


def _right_edge(runs: Sequence[Run]) -> float:
    """A little beyond the largest cap, or the largest radius where no cap is known."""
    reach = [
        run.cap if math.isfinite(run.cap) else float(np.max(run.rows.radius, initial=0))
        for run in runs
    ]
    return 1.04 * max(reach) or 1.0
