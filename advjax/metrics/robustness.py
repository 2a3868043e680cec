"""Rates of success of attacks, and the rows that count in them.

Computed by NumPy in float64 on the host. A row is one attacked example.
"""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from advjax.metrics.shares import share_of

Classes = int | Int[np.ndarray, "rows"]


def attackable(
    label: Classes, clean: Classes, target: Classes
) -> bool | Bool[np.ndarray, "rows"]:
    """Mask of the rows on which an attack can succeed.

    The classifier is right about the clean example, and the example is not of the class
    to reach. On any other row the goal is met without a perturbation. Such a row is in
    no numerator and no denominator of a rate of success.

    Args:
        label: the class of each example.
        clean: the prediction on the clean example.
        target: the class to reach; -1 for an untargeted attack.
    """
    return (clean == label) & (label != target)


def off_target(
    label: Classes, clean: Classes, target: Classes
) -> bool | Bool[np.ndarray, "rows"]:
    """Mask of the rows that count in an accuracy under attack.

    Under an untargeted attack all rows count, misclassified ones too. Under a targeted
    attack, examples of the target's class and clean predictions of it do not count; the
    correct ones of the rest are those of `attackable`.

    Args:
        label: the class of each example.
        clean: the prediction on the clean example.
        target: the class to reach; -1 for an untargeted attack.
    """
    return (label != target) & (clean != target)


def accuracy_under_attack(
    correct: Bool[np.ndarray, "rows"], success: Bool[np.ndarray, "rows"]
) -> float:
    """The share of examples that are classified correctly, clean and attacked.

    Args:
        correct: true if the classifier is right about the clean example, for each row
            that `off_target` keeps.
        success: true if the attack succeeds on it.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(correct)
    return share_of(correct & ~success).value


def fooling_rate(
    counted: Bool[np.ndarray, "rows"], success: Bool[np.ndarray, "rows"]
) -> float:
    """The share of attackable examples on which the attack succeeds; NaN without any.

    Args:
        counted: mask of `attackable`.
        success: true if the attack succeeds on the row.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(counted)
    return share_of(success[counted]).value


def success_rate_auc(sizes: Float[np.ndarray, "rows"], limit: float) -> float:
    """The area under success over budgets from 0 to `limit`, divided by `limit`.

    An example counts from the smallest budget at which it is misclassified. The curve
    is a staircase, and its area is exactly the mean of `max(0, 1 - size / limit)`.

    Args:
        sizes: the smallest successful budget of each attacked example; inf if none.
        limit: the largest budget, positive.

    Source: the rule "AUC > 0.9" of Sallo et al., arXiv:2008.11618, which does not
    define its curve; this reading is ours.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - np.asarray(sizes) / limit)))


def budget_for_auc(sizes: Float[np.ndarray, "rows"], level: float = 0.9) -> float:
    """The smallest limit for which `success_rate_auc` is `level`.

    If k examples have sizes below the limit, with sum S, the area is
    (k - S / limit) / rows. Solved for the limit, the result is the solution that lies
    between size k and size k + 1.

    Args:
        sizes: as for `success_rate_auc`.
        level: the area to reach, below 1.

    Returns:
        The limit; inf if too many examples resist the attack.

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
    """The mean size of a defended model's perturbations over that of a plain model's.

    Args:
        defended: sizes of successful perturbations of the defended model.
        plain: likewise of the plain model, by the same attack at equal success.

    Source: Sallo et al., arXiv:2008.11618, average perturbation ratio.
    """
    return float(np.mean(defended) / np.mean(plain))


def rounding_slack(norm: str, changed: Any, resolution: float) -> Any:
    """Largest norm of what rounding to steps of `resolution` adds.

    Args:
        norm: "linf", "l2" or "l0".
        changed: number of entries that differ from the clean ones after it. Others were
            rounded to the clean ones, which adds nothing.
        resolution: a step.
    """
    if norm == "l0":
        return 0.0
    return resolution / 2 * (changed**0.5 if norm == "l2" else 1.0)


def largest_size(
    budget: Any, norm: str, changed: Any, *, resolution: float = 0.0
) -> Any:
    """Largest norm of a perturbation that counts as within a budget.

    The tolerance is for rounding in float32, where entries near 1 move in steps of
    6e-8, and for rounding to steps of `resolution`.

    Args:
        budget: of the attack.
        norm: its norm.
        changed: number of changed entries.
        resolution: a step; 0 for examples that are not rounded.
    """
    return budget * (1 + 1e-5) + 1e-6 + rounding_slack(norm, changed, resolution)


def _refuse_empty(rows: np.ndarray) -> None:
    if not len(rows):
        raise ValueError("there are no rows: attack at least one example")
