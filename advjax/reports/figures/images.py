"""Grids of time-frequency images."""

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float

from advjax.reports.figures import canvas

_PANEL_IN = (2.1, 1.5)
_DPI = 110


def image_grid_plot(
    images: Float[np.ndarray, "rows columns frames bands"],
    path: str | os.PathLike[str],
    *,
    row_labels: Sequence[str],
    titles: Sequence[Sequence[str]],
    units: str,
    title: str = "",
    last_is_difference: bool = False,
    num_differences: int = 1,
    difference_units: str = "",
    frame_s: float | None = None,
    band_hz: Float[np.ndarray, "bands"] | None = None,
) -> pathlib.Path:
    """Draw a grid of time-frequency images on one scale of colours; return the path.

    Time runs to the right and frequency up. The scale spans the 1st to the 99th
    percentile of the first column, so that changes in the other columns show; colours
    saturate beyond. Differences have a scale of their own, symmetric about zero.

    Args:
        images: one for each panel, the clean ones in the first column. Panels of NaN
            are left out.
        path: where the PNG goes; its folder is made if missing.
        row_labels: a name for each row.
        titles: one or two lines above each panel.
        units: units of the colours.
        title: a line above the grid.
        last_is_difference: true if the last column has differences.
        num_differences: columns of differences, then, from the right.
        difference_units: units of these; by default a difference in `units`.
        frame_s: seconds from one frame to the next; None numbers the frames.
        band_hz: rising frequency of each band in Hz; None numbers the bands.

    Raises:
        ValueError: labels or titles do not match the grid.
    """
    rows, columns = images.shape[:2]
    if [len(line) for line in titles] != [columns] * rows or len(row_labels) != rows:
        raise ValueError(
            f"a grid of {rows} x {columns} images needs a label for each row and a "
            "title for each image"
        )
    low, high = np.percentile(images[:, 0], [1, 99])
    scales = [{"vmin": low, "vmax": high}] * columns
    first_difference = columns - num_differences if last_is_difference else columns
    if last_is_difference:
        changes = np.abs(images[:, first_difference:])
        largest = np.nanpercentile(changes, 99) or 1.0
        change = {"vmin": -largest, "vmax": largest, "cmap": "RdBu_r"}
        scales[first_difference:] = [change] * num_differences
    x_label = "frame" if frame_s is None else "s"
    y_label = "band" if band_hz is None else "Hz"
    margin_in = 1.6 if last_is_difference else 0.8
    with canvas.figure(
        path,
        columns * _PANEL_IN[0] + margin_in,
        rows * _PANEL_IN[1] + 0.6,
        dpi=_DPI,
        style={"axes.grid": False, "axes.titlesize": 10, "axes.labelsize": 11},
    ) as figure:
        grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
        shown_in: dict[bool, Any] = {}
        for row, column in np.ndindex(rows, columns):
            axes = grid[row, column]
            if np.isnan(images[row, column]).all():
                axes.set_visible(False)
                continue
            shown = axes.imshow(
                images[row, column].T,
                origin="lower",
                aspect="auto",
                interpolation="nearest",
                **scales[column],
            )
            shown_in[column >= first_difference] = shown
            axes.set_title(titles[row][column])
            if column == 0:
                axes.set_ylabel(f"{row_labels[row]}\n{y_label}")
            if row == rows - 1:
                axes.set_xlabel(x_label)
        _set_ticks(grid[0, 0], images.shape[2], frame_s, band_hz)
        bars = [(shown_in[False], units)]
        if last_is_difference:
            bars.append((shown_in[True], difference_units or f"difference in {units}"))
        for shown, label in bars:
            bar = figure.colorbar(shown, ax=grid, extend="both", aspect=40, pad=0.01)
            bar.set_label(label)
        if title:
            figure.suptitle(title)
    return pathlib.Path(path)


def _set_ticks(axes, num_frames: int, frame_s, band_hz) -> None:
    """Seconds and Hz where frames and bands have them; all panels share the ticks."""
    if frame_s is not None:
        axes.set_xticks(*second_ticks(num_frames, frame_s))
    if band_hz is not None:
        axes.set_yticks(*frequency_ticks(np.asarray(band_hz, float)))


def second_ticks(num_frames: int, frame_s: float) -> tuple[list, list[str]]:
    """Places between frames of some round times from 0 on, and their names."""
    rough = num_frames * frame_s / 4
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * max(each for each in (1, 2, 5) if each * power <= rough * 1.001)
    times = np.arange(0, (num_frames - 1) * frame_s, step)
    if len(times) > 5:
        times = times[::2]
    return (times / frame_s).tolist(), [f"{time:.3g}" for time in times]


def frequency_ticks(band_hz: Float[np.ndarray, "bands"]) -> tuple[list, list[str]]:
    """Places between bands of some round frequencies, and their names.

    Octaves from 125 Hz, or multiples of 1 or 2 kHz where bands are equally far apart;
    no two are nearer than a fifth of the axis.
    """
    low, high = band_hz[0], band_hz[-1]
    steps = np.diff(band_hz)
    known = 125.0 * 2.0 ** np.arange(-4, 12)
    if np.allclose(steps, steps[0]):
        known = np.arange(0, high + 1, 1000.0 if high < 5000 else 2000.0)
    places, names = [], []
    for hz in known[(known >= low) & (known <= high)][::-1]:
        place = float(np.interp(hz, band_hz, np.arange(len(band_hz))))
        if not places or places[-1] - place >= len(band_hz) / 5:
            places.append(place)
            names.append(f"{hz:g}")
    return places, names
