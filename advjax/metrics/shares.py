"""Shares of counted clips, with confidence intervals.

Computed by NumPy and SciPy in float64 on the host.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool
from scipy import special


class Share(NamedTuple):
    """A count out of a total, such as misclassified clips out of attacked ones."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The quotient; NaN if the total is 0."""
        return self.count / self.total if self.total else float("nan")

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """The Clopper-Pearson confidence interval of the probability behind the share.

        For clips drawn independently, it covers that probability with probability at
        least `level`; each end alone errs with probability at most half of the rest.

        Raises:
            ValueError: the total is 0, the count is not between 0 and the total, or
                the level is not between 0 and 1.

        Source: Clopper and Pearson 1934, Biometrika 26(4), 404-413.
        """
        count, total = self
        if not 0 <= count <= total or not total or not 0 < level < 1:
            raise ValueError(
                "an interval needs 0 <= count <= total, a total of at least 1 and "
                f"0 < level < 1; got count={count}, total={total}, level={level}"
            )
        tail = (1 - level) / 2
        low = special.betaincinv(count, total - count + 1, tail) if count else 0.0
        high = 1.0
        if count < total:
            # The tail of the complement keeps its digits.
            high = 1 - special.betaincinv(total - count, count + 1, tail)
        return float(low), float(high)


def share_of(hits: Bool[np.ndarray, "rows"]) -> Share:
    """The share of rows that are hits."""
    return Share(int(np.sum(hits)), len(hits))
