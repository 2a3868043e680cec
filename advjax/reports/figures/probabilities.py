"""Distributions of the certified class's probability."""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import special

from advjax.reports.figures import canvas

_WIDTH_IN, _AXES_HEIGHT_IN = 7.5, 4.4
_TICKS = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 0.9999, 0.99999)


class ProbabilityCurve(NamedTuple):
    """Share of clips by the lower bound on the probability of their class.

    Attributes:
        label: name in the legend. The part before a comma decides the colour and the
            part after it the style.
        p: lower bounds, rising from 1/2.
        share: of the clips with at least this bound, up to each p from the one before.
    """

    label: str
    p: Float[np.ndarray, "corners"]
    share: Float[np.ndarray, "corners"]


def probability_plot(
    curves: Sequence[ProbabilityCurve],
    path: str | os.PathLike[str],
    *,
    title: str = "",
) -> pathlib.Path:
    """Draw the share of clips by lower bounds on a probability; return the path.

    The horizontal axis is linear in the certified radius of Gaussian noise, which an
    axis above gives in multiples of its standard deviation. A dot ends each curve at
    the largest bound that could have been found.

    Args:
        curves: one each.
        path: where the PNG goes; its folder is made if missing.
        title: a line above the axes.

    Raises:
        ValueError: there are no curves, or a bound outside of [1/2, 1).
    """
    if not curves:
        raise ValueError("there is nothing to draw: give at least one curve")
    for curve in curves:
        if not ((curve.p >= 0.5) & (curve.p < 1)).all():
            raise ValueError(f"{curve.label}: give lower bounds from 1/2 to below 1")
    parts = [curve.label.partition(",") for curve in curves]
    names, kinds = (list(dict.fromkeys(each[i] for each in parts)) for i in (0, 2))
    num_lines = -(-len(curves) // max(1, len(kinds))) + 1
    height_in = _AXES_HEIGHT_IN + canvas.LEGEND_LINE_IN * num_lines
    with canvas.figure(path, _WIDTH_IN, height_in) as figure:
        axes = figure.add_subplot()
        for curve, (name, _, kind) in zip(curves, parts, strict=True):
            colour = canvas.look(names.index(name))["color"]
            look = canvas.look(kinds.index(kind)) | {"color": colour}
            radius = special.ndtri(curve.p)
            label = canvas.plain(curve.label)
            axes.step(radius, curve.share, where="pre", label=label, **look)
            axes.plot(
                radius[-1], curve.share[-1], "o", color=colour, markersize=6,
                clip_on=False, zorder=3,
            )  # fmt: skip
        right = max(float(special.ndtri(curve.p[-1])) for curve in curves)
        axes.set_xlim(0, 1.04 * right or 1.0)
        ticks = [p for p in _TICKS if special.ndtri(p) <= axes.get_xlim()[1]]
        axes.set_xticks(special.ndtri(ticks), [f"{p:g}" for p in ticks])
        axes.set_ylim(0, 1.02)
        axes.set_xlabel("lower bound p on the probability of the right class")
        axes.set_ylabel("share of clips with at least p")
        above = axes.secondary_xaxis("top")
        above.set_xlabel("certified radius in standard deviations of the noise")
        axes.set_title(canvas.plain(title), pad=12)
        figure.legend(
            loc="outside lower center", frameon=False, ncols=max(1, len(kinds))
        )
    return pathlib.Path(path)
