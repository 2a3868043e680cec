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
from advjax.reports.figures.lines import line_plot
from advjax.reports.figures.probabilities import ProbabilityCurve, probability_plot
from advjax.reports.figures.scatter import two_sizes_plot
from advjax.reports.figures.spectrograms import (
    CHANGES,
    LEVELS,
    SpectrogramPair,
    colour_stops,
    spectrogram_pair,
)
from advjax.reports.figures.staircases import Staircase, staircase_plot

__all__ = [
    "CHANGES",
    "LEVELS",
    "MOST_BANDS",
    "AttackedCurve",
    "ProbabilityCurve",
    "SpectrogramPair",
    "Staircase",
    "attacked_accuracy_plot",
    "certified_accuracy",
    "certified_accuracy_plot",
    "colour_stops",
    "curve",
    "image_grid_plot",
    "label_bars_plot",
    "line_plot",
    "log_log_plot",
    "matrix_plot",
    "probability_plot",
    "spectrogram_pair",
    "staircase_plot",
    "two_sizes_plot",
]
