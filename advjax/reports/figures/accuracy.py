"""Certified accuracy over the radius, and accuracy under attack over the size."""

import contextlib
import math
import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from advjax.metrics.certified import certified_accuracy, clean_accuracy
from advjax.reports.figures import canvas
from advjax.runs.row_types import Run

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
_AXES_HEIGHT_IN = 4.4


def certified_accuracy_plot(
    runs: Sequence[Run],
    path: str | os.PathLike[str],
    *,
    units: str,
    norm: str = "l2",
    title: str = "",
) -> pathlib.Path:
    """Draw the certified accuracy over the radius, a curve per run; return the path.

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
            look = canvas.look(index)
            axes.step(
                radius,
                accuracy,
                # The accuracy at a radius includes the points that have just it.
                where="pre",
                label=f"{canvas.plain(run.label)}  (clean "
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
        accuracy: at each size.
        stepped: accuracy falls at each size and is known in between, as under an attack
            that finds the smallest perturbation of each example.
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
        weaker_to_the_right: sizes are signal-to-noise ratios: the axis is reversed, so
            that curves fall to the right in every figure.
        logarithmic: sizes span orders of magnitude; the accuracy at 0 is drawn from a
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
        axes.set_title(title)
        figure.legend(loc="outside lower center", frameon=False)


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
