"""Distributions of the certified class's probability in the cells of a stage."""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from advjax.metrics.certified import accuracy_curve
from advjax.reports.figures import ProbabilityCurve
from experiments.studies.speakers.certified_cells import Certified, networks


def probability_curves(
    stage: str, cells: Sequence[Certified]
) -> list[ProbabilityCurve]:
    """A curve for each sigma and training; crops of several seeds are pooled.

    At p = 1/2 it is the accuracy of the smoothed classifier, and at p = Φ(r / σ) the
    certified accuracy at radius r.
    """
    groups = networks(cells, stage=stage)
    # By training, as the legend has a column for each.
    order = sorted(groups, key=lambda key: (key[1], key[0]))
    return [
        _curve(f"σ = {sigma:g}, {training} training", groups[sigma, training, chapter])
        for sigma, training, chapter in order
        if not chapter
    ]


def _curve(label: str, group: Sequence[Certified]) -> ProbabilityCurve:
    """From p = 1/2 to the largest p that all of the runs tested."""
    most = min(
        float(stats.norm.cdf(cell.largest_tested / cell.sigma)) for cell in group
    )
    correct = np.concatenate([cell.rows.correct for cell in group])
    p = np.concatenate([cell.rows.p_lower for cell in group])
    corners, share = accuracy_curve(correct, np.minimum(p, most), most)
    return ProbabilityCurve(label, np.maximum(corners, 0.5), share)
