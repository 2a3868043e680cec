"""Certified accuracy over the radius, and accuracy under attack over the size."""

import contextlib
import math
import os
import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.metrics.certified import accuracy_curve, smoothed_accuracy
from advjax.metrics.shares import Share
from advjax.reports.figures import canvas
from advjax.runs.descriptions import description
from advjax.runs.row_types import CERTIFICATES, Run

_END = {
    "marker": "o",
    "markersize": 8,
    "markeredgecolor": "white",
    # Whole also on the axes' edge, but without pushing the axes about.
    "clip_on": False,
    "in_layout": False,
    "zorder": 3,
}
_WIDTH_IN = 7.5
_TITLE_LETTERS = 75
MOST_BANDS = 3
"""Runs in one figure that each have a band; more bands hide each other."""
_AXES_HEIGHT_IN = 4.4


AnySource = Any
"""A `Run`, the folder of a run of `certify`, or certificates of `certify_batch`."""


def certified_accuracy(
    axes: Any,
    source: AnySource,
    *,
    label: str | None = None,
    band: bool = True,
    **style: Any,
) -> Any:
    """Draw the certified accuracy over the radius on axes of one's own.

        figure, axes = matplotlib.pyplot.subplots()
        reports.certified_accuracy(axes, "runs/certify/FOLDER")
        reports.certified_accuracy(axes, certify_batch(...), label="mine").legend()

    The curve steps down after the radius of each correct point and ends in a dot at the
    largest radius that could have been certified.

    Args:
        axes: axes of matplotlib.
        source: a `Run`, the folder of a run, or certificates of `certify_batch`.
        label: name of the curve in the legend; by default the name of the run.
        band: shade the 95 % interval of each accuracy over the choice of points
            (Clopper-Pearson, pointwise).
        **style: of the line, as for `axes.plot`.

    Returns:
        The axes.

    Raises:
        ValueError: there are no rows, or the folder is not that of a run.
    """
    correct, radius, cap, name = _points(source)
    corners, accuracy = accuracy_curve(correct, radius, cap)
    label = canvas.plain(name if label is None else label)
    # The accuracy at a radius includes the points that have just that radius.
    (line,) = axes.step(corners, accuracy, where="pre", label=label, **style)
    colour = line.get_color()
    if band:
        counts = np.rint(accuracy * len(correct)).astype(int).tolist()
        ends = [Share(count, len(correct)).interval() for count in counts]
        axes.fill_between(
            corners, *zip(*ends, strict=True), step="pre", color=colour, alpha=0.15,
            linewidth=0,
        )  # fmt: skip
    if math.isfinite(cap):
        axes.plot(corners[-1], accuracy[-1], color=colour, **_END)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel(axes.get_xlabel() or "certified radius")
    axes.set_ylabel(axes.get_ylabel() or "certified accuracy")
    return axes


def _points(source: AnySource):
    """Correctness and radius of each point, the largest possible radius, and a name."""
    if isinstance(source, str | os.PathLike):
        folder = pathlib.Path(source)
        cap = description(folder)["settings"]["cap"]
        source = Run(folder.name, CERTIFICATES.read(folder), cap)
    if isinstance(source, Run):
        rows = source.rows
        return rows.correct, rows.radius, source.cap, source.label
    return source.correct, source.radius, source.max_radius, "certified"


def certified_accuracy_plot(
    runs: Sequence[Run],
    path: str | os.PathLike[str],
    *,
    units: str,
    norm: str = "l2",
    x_label: str = "",
    title: str = "",
) -> pathlib.Path:
    """Draw the certified accuracy over the radius, a curve per run; return the path.

    See `certified_accuracy`; up to `MOST_BANDS` runs have a band. The legend, below the
    axes, gives the accuracy of each smoothed classifier.

    Args:
        runs: one curve each. Seven colours and four kinds of line make 28 of them
            distinct; about ten can be read.
        path: where the PNG goes; its folder is made if missing.
        units: the representation that the radii are measured in, such as "mfbe".
        norm: the norm of the radii.
        x_label: meaning of the radii with their units, where they are of no norm.
        title: lines above the axes.

    Raises:
        ValueError: there are no runs, or a run has no rows.
    """
    if not runs:
        raise ValueError("there is nothing to draw: give at least one run")
    with _accuracy_axes(
        path,
        num_lines=len(runs) + 1,
        x_label=x_label or f"{norm} radius (units of {units})",
        y_label="certified accuracy",
        title=title,
    ) as axes:
        for index, run in enumerate(runs):
            accuracy = smoothed_accuracy(run.rows.correct)
            label = f"{run.label}  (at radius 0: {accuracy:.2f})"
            certified_accuracy(
                axes,
                run,
                label=label,
                band=len(runs) <= MOST_BANDS,
                **canvas.look(index),
            )
        if any(math.isfinite(run.cap) for run in runs):
            colour = canvas.look(0)["color"] if len(runs) == 1 else "#666666"
            note = "the largest radius that the run could certify"
            axes.plot([], [], color=colour, linestyle="", label=note, **_END)
        axes.set_xlim(0, _right_edge(runs))
    return pathlib.Path(path)


class AttackedCurve(NamedTuple):
    """Accuracy under one attack over the size of its perturbations.

    Attributes:
        label: name in the legend.
        size: sizes of perturbations, rising.
        accuracy: accuracy at each size.
        stepped: true if accuracy falls at each size and is constant between, as under
            an attack that finds the smallest perturbation of each example.
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
    """Draw the accuracy under attack over the size of perturbations; return the path.

    Args:
        curves: one line each; budgets are dots with a line through them.
        path: where the PNG goes; its folder is made if missing.
        x_label: meaning of the sizes, with their unit.
        y_label: meaning of the accuracy.
        weaker_to_the_right: reverse the axis, for signal-to-noise ratios: curves fall
            to the right in every figure.
        logarithmic: use a logarithmic axis; the accuracy at size 0 is drawn from a
            third of the smallest positive size on.
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
            look = {"label": canvas.plain(one.label), **canvas.look(index)}
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
    height_in = _AXES_HEIGHT_IN + canvas.LEGEND_LINE_IN * num_lines
    with canvas.figure(path, _WIDTH_IN, height_in) as figure:
        axes = figure.add_subplot()
        yield axes
        axes.set_ylim(0, 1.02)
        axes.set_yticks(np.linspace(0, 1, 6))
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        lines = [textwrap.fill(line, _TITLE_LETTERS) for line in title.splitlines()]
        axes.set_title("\n".join(lines))
        figure.legend(loc="outside lower center", frameon=False)


def curve(
    run: Run,
) -> tuple[Float[np.ndarray, "corners"], Float[np.ndarray, "corners"]]:
    """The corners of a run's curve, see `advjax.metrics.accuracy_curve`."""
    return accuracy_curve(run.rows.correct, run.rows.radius, run.cap)


def _right_edge(runs: Sequence[Run]) -> float:
    """A little beyond the largest cap, or the largest radius where no cap is known."""
    reach = [
        run.cap if math.isfinite(run.cap) else float(np.max(run.rows.radius, initial=0))
        for run in runs
    ]
    return 1.04 * max(reach) or 1.0
