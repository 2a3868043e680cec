"""Lower bounds on the probability of a class from its votes, by name."""

from advjax.smoothing.bounds.base import Bound, VotePlan
from advjax.smoothing.bounds.clopper_pearson import ClopperPearson
from advjax.smoothing.bounds.sequential import Sequential

BOUNDS: dict[str, type[Bound]] = {
    "clopper_pearson": ClopperPearson,
    "sequential": Sequential,
}
"""The bounds by name; each takes the radii of interest."""

__all__ = ["BOUNDS", "Bound", "ClopperPearson", "Sequential", "VotePlan"]
