"""Accuracies, rates and mean radii of a column of certificates.

An abstention (a negative prediction) is never correct and has radius 0. Everything is
NumPy in float64 on the host: there is one number per certified point.

Source: Cohen et al. 2019, arXiv:1902.02918, section 4 and appendix F. The average
certified radius is from Zhai et al. 2020 (MACER), arXiv:2001.02378.
"""

import math

import numpy as np
from jaxtyping import Bool, Float, Int


def certified_accuracy(
    correct: Bool[np.ndarray, "rows"],
    radius: Float[np.ndarray, "rows"],
    radii: Float[np.ndarray, "radii"],
) -> Float[np.ndarray, "radii"]:
    """The share of points that are correct with a certified radius of at least r.

    Args:
        correct: true if the smoothed classifier predicts the label; false if it
            abstains.
        radius: certified radius of each point, in the units of the representation.
        radii: the values of r, in the same units.

    Returns:
        One share in [0, 1] for each r.

    Raises:
        ValueError: there are no rows.
    """
    _refuse_empty(correct)
    held = np.sort(radius[correct])
    beyond = held.size - np.searchsorted(held, radii, side="left")
    return beyond.astype(np.float64) / correct.size


def accuracy_curve(
    correct: Bool[np.ndarray, "rows"],
    radius: Float[np.ndarray, "rows"],
    max_radius: float = math.inf,
) -> tuple[Float[np.ndarray, "corners"], Float[np.ndarray, "corners"]]:
    """The corners of the certified accuracy: radii from 0 up, and accuracy at each one.

    Each accuracy holds on the interval that ends at its radius. The curve ends at
    `max_radius`, where it may still be high: nothing is known beyond. Without a largest
    radius it falls to 0 after the largest radius of a correct point.

    Args:
        correct: as for `certified_accuracy`.
        radius: likewise.
        max_radius: the largest radius that could have been certified.

    Raises:
        ValueError: there are no rows.
    """
    corners = np.concatenate([[0.0], np.unique(radius[correct])])
    accuracy = certified_accuracy(correct, radius, corners)
    # Equal but for rounding: radii come from a table, the largest one from a formula.
    if corners[-1] < max_radius * (1 - 1e-9):
        corners, accuracy = np.append(corners, corners[-1]), np.append(accuracy, 0.0)
        if math.isfinite(max_radius):
            corners, accuracy = np.append(corners, max_radius), np.append(accuracy, 0.0)
    return corners, accuracy


def certified_accuracy_lower_bound(
    accuracy: Float[np.ndarray, "radii"], *, num_points: int, alpha: float, rho: float
) -> Float[np.ndarray, "radii"]:
    """Lower bounds on certified accuracies that allow for wrong certificates.

    Each certificate may be wrong with probability alpha. With probability at least
    1 - rho over the noise, the share of points that are truly robust at a radius is at
    least this bound, at all radii together: a certificate that holds at its own radius
    holds at every smaller one, so one count of wrong certificates serves them all. A
    bound below 0 is returned as 0.

    Args:
        accuracy: certified accuracies as `certified_accuracy` gives them.
        num_points: number of certified points.
        alpha: failure probability of one certificate.
        rho: failure probability of these bounds together.

    Returns:
        One share in [0, 1] for each accuracy.

    Raises:
        ValueError: an argument is outside its range.

    Source: Cohen et al. 2019, appendix F (Bernstein's inequality), for one radius; the
    remark on all radii is ours.
    """
    if num_points < 1 or not 0 <= alpha < 1 or not 0 < rho < 1:
        raise ValueError(
            "the lower bound needs num_points >= 1, 0 <= alpha < 1 and 0 < rho < 1; "
            f"got num_points={num_points}, alpha={alpha}, rho={rho}"
        )
    doubt = math.log(1 / rho) / num_points
    slack = alpha + math.sqrt(alpha * (1 - alpha) * doubt) + doubt / 3
    return np.maximum(accuracy - slack, 0.0)


def smoothed_accuracy(correct: Bool[np.ndarray, "rows"]) -> float:
    """The share of points that the smoothed classifier labels correctly.

    Abstentions count as wrong. It is the certified accuracy at radius 0.
    """
    _refuse_empty(correct)
    return float(np.mean(correct))


def abstain_rate(predict: Int[np.ndarray, "rows"]) -> float:
    """The share of points on which the smoothed classifier abstains."""
    _refuse_empty(predict)
    return float(np.mean(predict < 0))


def average_certified_radius(
    correct: Bool[np.ndarray, "rows"], radius: Float[np.ndarray, "rows"]
) -> float:
    """The mean certified radius over all points, wrong points counted as 0.

    It is the area under the certified accuracy as a function of the radius, in the
    units of the representation.
    """
    _refuse_empty(correct)
    return float(np.mean(np.where(correct, radius, 0.0)))


def _refuse_empty(column: np.ndarray) -> None:
    if not column.size:
        raise ValueError("there are no rows: certify at least one point first")
