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


def success_auc(
    budgets: Float[np.ndarray, "budgets"], rates: Float[np.ndarray, "budgets"]
) -> float:
    """The area under success over the budget, divided by the largest budget.

    The curve starts at (0, 0): no budget, no success. 1 is an attack that always
    succeeds with nothing.

    Args:
        budgets: increasing, positive.
        rates: the fooling rate at each.

    Raises:
        ValueError: budgets that do not increase from above 0.

    Source: the "AUC > 0.9" rule of Sallo et al., arXiv:2008.11618, which does not
    define its curve; this reading is ours.
    """
    budgets = np.concatenate([[0.0], np.asarray(budgets, np.float64)])
    if len(budgets) < 2 or (np.diff(budgets) <= 0).any():
        raise ValueError(f"budgets must increase from above 0, got {budgets[1:]}")
    rates = np.concatenate([[0.0], np.asarray(rates, np.float64)])
    return float(np.trapezoid(rates, budgets) / budgets[-1])


def perturbation_ratio(
    defended: Float[np.ndarray, "rows"], plain: Float[np.ndarray, "rows"]
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
