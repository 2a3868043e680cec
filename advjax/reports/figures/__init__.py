"""Figures of runs. matplotlib is imported when one is drawn."""

from advjax.reports.figures.accuracy import (
    MOST_BANDS,
    AttackedCurve,
    attacked_accuracy_plot,
    certified_accuracy,
    certified_accuracy_plot,
    curve,
)
from advjax.reports.figures.counts import label_bars_plot, matrix_plot
from advjax.reports.figures.growth import log_log_plot
from advjax.reports.figures.images import image_grid_plot
from advjax.reports.figures.scatter import two_sizes_plot
from advjax.reports.figures.staircases import Staircase, staircase_plot

__all__ = [
    "MOST_BANDS",
    "AttackedCurve",
    "Staircase",
    "attacked_accuracy_plot",
    "certified_accuracy",
    "certified_accuracy_plot",
    "curve",
    "image_grid_plot",
    "label_bars_plot",
    "log_log_plot",
    "matrix_plot",
    "staircase_plot",
    "two_sizes_plot",
]
