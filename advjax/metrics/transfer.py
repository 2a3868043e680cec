"""Transfer of adversarial examples from one classifier to another.

A row is one example; predictions are classes. An example succeeds on the other
classifier if it changes that classifier's prediction on the clean clip. Clips that the
other classifier misclassifies before the attack, or that are of the class to reach, are
in neither count.

Source: Subramanian et al. 2019, arXiv:1907.02477, table 5 (k of 492 examples).
Differs: the table counts changes among all examples. Here clips that the other
classifier misclassifies anyway are left out, as for the attacked classifier.
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
    """The share of successful examples that also succeed on the other classifier.

    Args:
        won: success on the classifier that the examples were made on, for the rows that
            are attackable there.
        label: the class of each clip.
        clean: the other classifier's predictions on the clean clips.
        attacked: its predictions on the adversarial examples.
        target: the class that it must predict; -1 for an untargeted attack.
    """
    moved = np.where(target < 0, attacked != clean, attacked == target)
    return share_of(moved[won & attackable(label, clean, target)])
