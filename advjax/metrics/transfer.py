"""Whether adversarial examples made on one classifier move another.

A row is one example; answers are classes. Success on the other classifier is a change
of its own clean answer, so that its mistakes on clean examples do not count.

Source: Subramanian et al. 2019, arXiv:1907.02477, table 5 (k of 492 examples).
"""

import numpy as np
from jaxtyping import Bool, Int


def transfer_rate(
    success: Bool[np.ndarray, "rows"],
    clean: Int[np.ndarray, "rows"],
    attacked: Int[np.ndarray, "rows"],
    target: Int[np.ndarray, "rows"] | None = None,
) -> float:
    """The share of the source's successes that move the other classifier.

    NaN where the source had none.

    Args:
        success: on the classifier that the examples were made on.
        clean: the other one's answers to the clean examples.
        attacked: its answers to the adversarial ones.
        target: for targeted attacks, the class that it must answer.
    """
    if not success.any():
        return float("nan")
    moved = attacked != clean
    if target is not None:
        moved &= attacked == target
    return float(np.mean(moved[success]))
