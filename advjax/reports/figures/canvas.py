"""Open, style and save a figure as a PNG.

Figures are objects of matplotlib, never of `pyplot`: they open no window and share no
state, and the same rows give the same bytes. matplotlib is imported when a figure is
drawn.
"""

import contextlib
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

from advjax.runtime.atomic import new_file

# Okabe and Ito, "Color universal design" (2008): distinct under every common colour
# blindness. Their yellow is left out: as a line on white it is unreadable.
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
DPI = 160
LEGEND_LINE_IN = 0.22


@contextlib.contextmanager
def figure(
    path: str | os.PathLike[str],
    width_in: float,
    height_in: float,
    *,
    dpi: int = DPI,
    style: Mapping[str, Any] | None = None,
) -> Iterator[Any]:
    """Yield a styled figure, and save it when the block ends.

    Args:
        path: where the PNG goes; its folder is made if missing.
        width_in: width in inches.
        height_in: height in inches.
        dpi: dots per inch.
        style: settings that differ from `STYLE`.
    """
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({**STYLE, **(style or {})}):
        drawn = Figure(figsize=(width_in, height_in), dpi=dpi, layout="constrained")
        FigureCanvasAgg(drawn)
        yield drawn
        with new_file(path) as aside:
            # Without the program's name, the bytes do not depend on its version.
            drawn.savefig(aside, metadata={"Software": None})


def look(index: int) -> dict[str, Any]:
    """Colour, style and width of line number `index`."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "linestyle": DASHES[index % len(DASHES)],
        "linewidth": 2,
    }


def plain(text: str) -> str:
    """The text with escaped dollar signs, which would start a formula."""
    return text.replace("$", r"\$")
