"""Radii that no network decides: by sigma and n, and by the probability.

O'Reilly's (2020) table of the largest certifiable radii, with its misprints; and radii
by f-divergences, as in Dvijotham et al. 2020, beside those of Neyman and Pearson.
"""

import dataclasses
from typing import Any

from advjax.reports.tables import Table
from advjax.smoothing import max_radius
from experiments.lab import radii
from experiments.lab.grid import Job, Step

SIGMAS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0)
COUNTS = (1_000, 10_000, 100_000)
ALPHA = 0.001

_SLIPS = {
    (0.5, 10_000): ("1.160", "a digit slip of 1.60"),
    (1.0, 10_000): ("3.320", "a digit slip of 3.20"),
    (2.0, 1_000): ("4.923", "a slip in the last digit"),
    (2.0, 10_000): ("6.400", "3.2 sigma, rounded early"),
    (3.0, 10_000): ("9.600", "3.2 sigma, rounded early"),
}
"""By (sigma, n), entries of his table that the formula does not give: the printed
value, and the likely cause."""


def maximum_radius_table(alpha: float = ALPHA) -> Table:
    """The largest radius that Gaussian noise can certify, by sigma and n.

    At O'Reilly's alpha, entries that differ from his table are starred and listed in
    the notes.
    """
    rows, notes = [], []
    for sigma in SIGMAS:
        cells = [f"{sigma:.2f}"]
        for count in COUNTS:
            radius = f"{max_radius(sigma, count, alpha):.3f}"
            slip = _SLIPS.get((sigma, count)) if alpha == ALPHA else None
            if slip:
                printed, reason = slip
                notes.append(
                    f"* sigma {sigma:g}, n {count:,}: {radius}; "
                    f"the publication prints {printed}, {reason}"
                )
            cells.append(radius + ("*" if slip else ""))
        rows.append(cells)
    header = ["sigma", *(f"n={count:,}" for count in COUNTS)]
    return Table(header, rows, [f"alpha = {alpha:g}, all n votes agreeing", *notes])


FIGURE = "radii_by_probability.png"


@dataclasses.dataclass(frozen=True)
class RadiiByProbability(Step):
    """Radii by f-divergences beside Neyman and Pearson's, with a figure."""

    alpha: float = ALPHA

    def run(self, job: Job) -> dict[str, Any]:
        """Return the table; draw the figure into the folder of the study."""
        radii.plot(job.out / FIGURE, 1.0, self.alpha)
        heading = f"## Radii by f-divergences\n\n![radius over probability]({FIGURE})"
        return {"sections": [(heading, radii.probability_table(1.0, self.alpha))]}
