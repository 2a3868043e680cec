"""Rates and differences as texts of tables, with intervals over recordings."""

import numpy as np

from advjax.metrics.clustered import ClusteredMean, Contrast, clustered_share
from advjax.reports import tables

CLIPS_NOTE = (
    "in brackets or below a number: its 95 % interval, by bootstrap over the "
    "recordings of the folds together; where all clips agree, Clopper and Pearson's "
    "for as many recordings"
)


def percent(mean: ClusteredMean) -> str:
    """A rate in percent with its interval, such as `90.0 [73, 98]`."""
    if not len(mean.clusters):
        return tables.DASH
    low, high = mean.interval()
    if low == high and low in (0.0, 1.0):
        low, high = clustered_share([mean.values > 0], mean.clusters).interval()
    return f"{100 * mean.value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"


def points(contrast: Contrast) -> str:
    """A difference in points with its interval, such as `+9.0 [+2, +15]`."""
    value, low, high, _ = contrast
    return f"{100 * value:+.1f} [{100 * low:+.0f}, {100 * high:+.0f}]"


def number(value: float) -> str:
    """Three digits; a dash for what is not finite."""
    return f"{value:.3g}" if np.isfinite(value) else tables.DASH
