"""Predictions of a smoothed classifier, without a radius."""

import math
from typing import Any, NamedTuple

import numpy as np

from advjax.smoothing.bounds.clopper_pearson import check_alpha, top_two_p_value
from advjax.smoothing.certify import ABSTAIN
from advjax.smoothing.counting.placement import Placement, whole_process
from advjax.smoothing.counting.tally import refuse_no_votes
from advjax.smoothing.counting.votes import count_votes
from advjax.smoothing.noises.base import AnyNoise, check_noise
from advjax.types import AnyArray, AnyCallable, Key


class Prediction(NamedTuple):
    """The smoothed classifier's prediction for one example.

    Attributes:
        prediction: a class, or ABSTAIN.
        p_value: probability of so clear a lead, were the two best equally likely.
        votes: votes for the class that leads.
    """

    prediction: int
    p_value: float
    votes: int

    def __repr__(self) -> str:
        """The fields, with an abstention in words."""
        abstains = self.prediction == ABSTAIN
        shown = "abstains" if abstains else f"prediction={self.prediction}"
        return f"Prediction({shown}, p_value={self.p_value}, votes={self.votes})"


def predict(
    logits_fn: AnyCallable,
    x: AnyArray,
    key: Key | Any,
    *,
    noise: AnyNoise,
    num_samples: int = 1000,
    alpha: float = 1e-3,
    placement: Placement | None = None,
) -> Prediction:
    """Predict the smoothed classifier's class at `x`, or abstain if two compete.

    The prediction differs from the smoothed classifier's true class with probability at
    most alpha. Copies with logits that are not finite compete as a class of their own.

    Args:
        logits_fn: one example to one row of logits, see `certify`.
        x: one example, floating and finite.
        key: the example's key.
        noise: any noise distribution, with a certificate or without.
        num_samples: votes; at alpha 0.001 at least 11.
        alpha: probability of a wrong prediction.
        placement: the layout of noisy copies on the devices; None for all devices of
            this process, with the default tile of their kind.

    Raises:
        ValueError: num_samples so small that only abstaining is possible, impossible
            arguments, or a classifier whose logits are never finite.
        MemoryError: a tile does not fit the device.

    Source: Cohen et al. 2019, arXiv:1902.02918, Predict.
    """
    check_noise(noise)
    check_alpha(alpha)
    if num_samples < 1 or top_two_p_value(num_samples, 0) > alpha:
        # A unanimous vote of n has the two-sided p-value 2 ** (1 - n).
        least = math.ceil(1.0 - math.log2(alpha))
        raise ValueError(
            f"num_samples={num_samples} can only abstain at alpha={alpha}: draw at "
            f"least {least} votes, or choose a larger alpha."
        )
    counts = count_votes(
        logits_fn,
        x,
        key,
        noise=noise,
        num_samples=num_samples,
        placement=whole_process() if placement is None else placement,
    )
    refuse_no_votes(counts.tolist(), num_samples)
    top = int(counts.argmax())
    rivals = [*np.delete(counts, top), num_samples - counts.sum()]
    first, second = int(counts[top]), int(max(rivals))
    p_value = top_two_p_value(first, second)
    decided = first > second and p_value <= alpha
    return Prediction(top if decided else ABSTAIN, p_value, first)
