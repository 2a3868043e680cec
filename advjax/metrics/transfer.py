"""Transfer of adversarial examples from the classifier they were made on to another.

A row is one example; predictions are classes. Success on the other classifier is a
change of its own prediction on the clean clip. Clips that it misclassifies before the
attack, or that are of the class to reach, are in neither count.

Source: Subramanian et al. 2019, arXiv:1907.02477, table 5 (k of 492 examples).
Differs: the table counts changes among all examples; here those that the other
classifier misclassifies anyway are left out, as for the classifier that is attacked.
"""

import numpy as np
from jaxtyping import Bool, Int

from advjax.metrics.robustness import attackable
from advjax.metrics.shares import Share, share_of


def transfer_share(
    won: Bool[np.ndarray, "rows"],
    *,
    label: Int[np.ndarray, "rows"],
    clean: Int[np.ndarray, "rows"],
    attacked: Int[np.ndarray, "rows"],
    target: Int[np.ndarray, "rows"],
) -> Share:
    """The examples that move the other classifier, out of those that could.

    Args:
        won: the successes on the classifier that the examples were made on, of the rows
            that are attackable there.
        label: the class of each clip.
        clean: the other classifier's predictions on the clean clips.
        attacked: its predictions on the adversarial examples.
        target: the class that it must predict; -1 for an untargeted attack.
    """
    moved = np.where(target < 0, attacked != clean, attacked == target)
    return share_of(moved[won & attackable(label, clean, target)])
