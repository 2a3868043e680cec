"""What a column of attacked examples amounts to.

NumPy in float64 on the host; a row is one attacked example. `correct` says whether the
classifier was right about the clean one.
"""

import numpy as np
from jaxtyping import Bool, Float


def accuracy_under_attack(
    correct: Bool[np.ndarray, "rows"], success: Bool[np.ndarray, "rows"]
) -> float:
    """The share of all examples that are right and stay so.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(correct)
    return float(np.mean(correct & ~success))


def fooling_rate(
    correct: Bool[np.ndarray, "rows"], success: Bool[np.ndarray, "rows"]
) -> float:
    """The share of initially right examples on which the attack succeeds.

    NaN where no example was right to begin with.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(correct)
    return float(np.mean(success[correct])) if correct.any() else float("nan")


def success_rate_auc(sizes: Float[np.ndarray, "rows"], limit: float) -> float:
    """The area under success over budgets from 0 to `limit`, divided by `limit`.

    An example counts from the smallest budget at which it is fooled, so that the curve
    is a staircase and its area exact: the mean of `max(0, 1 - size / limit)`.

    Args:
        sizes: the smallest budget that fools each attacked example, inf where none did.
        limit: the largest budget, positive.

    Source: the rule "AUC > 0.9" of Sallo et al., arXiv:2008.11618, which does not
    define its curve; this reading is ours.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(sizes) / limit)))


def budget_for_auc(sizes: Float[np.ndarray, "rows"], level: float = 0.9) -> float:
    """The least largest budget whose `success_rate_auc` is `level`.

    With k examples fooled by it at sizes of sum S, the area is (k - S / limit) / rows;
    solved for the limit, the answer is the one that lies between size k and size k + 1.

    Args:
        sizes: as for `success_rate_auc`.
        level: the area to reach, below 1.

    Returns:
        The budget; inf where so many examples resist that none would do.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(sizes)
    ordered = np.sort(np.asarray(sizes, np.float64))
    ordered = ordered[np.isfinite(ordered)]
    excess = np.arange(1, len(ordered) + 1) - level * len(sizes)
    following = np.append(ordered[1:], np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        limits = np.cumsum(ordered) / excess
    fits = (excess > 0) & (limits >= ordered) & (limits <= following)
    return float(limits[fits][0]) if fits.any() else float("inf")


def perturbation_ratio(
    defended: Float[np.ndarray, "rows"], plain: Float[np.ndarray, "other_rows"]
) -> float:
    """How much larger perturbations of a defended model are, mean over mean.

    Args:
        defended: sizes of successful perturbations of the defended model.
        plain: those of the plain one, by the same attack at equal success.

    Source: Sallo et al., arXiv:2008.11618, average perturbation ratio.
    """
    return float(np.mean(defended) / np.mean(plain))


def _refuse_empty(rows: np.ndarray) -> None:
    if not len(rows):
        raise ValueError("there are no rows: attack at least one example")
