"""The Clopper-Pearson bound on a number of votes that is fixed beforehand.

The host computes it in float64 with SciPy. JAX lacks the inverse incomplete beta
function, and bisection in float32 errs by up to 0.003 sigma, sometimes upwards.

In this module, `num_successes` of `num_trials` independent votes are for one class, and
a statement is wrong with probability at most `alpha`.
"""

import functools
import math
from collections.abc import Iterable, Iterator

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from advjax.smoothing.bounds.base import Bound, VotePlan
from advjax.smoothing.counting.in_order import count_in_order
from advjax.smoothing.counting.placement import Placement
from advjax.smoothing.counting.tally import Example, OnTally, Tally
from advjax.smoothing.noises.base import AnyNoise
from advjax.types import AnyCallable

MOST_TRIALS = 10_000_000
"""The most votes: a table of bounds has one float64 for each count, 80 MB here."""


class ClopperPearson(Bound):
    """The exact bound on a fixed number of votes.

    Source: Clopper and Pearson 1934; Cohen et al. 2019, arXiv:1902.02918, Certify.
    """

    name = "clopper_pearson"
    stops_early = False
    most_votes = MOST_TRIALS

    @staticmethod
    def lower(num_successes: int, num_trials: int, alpha: float) -> float:
        """See `Bound.lower`."""
        return float(clopper_pearson_lower(num_successes, num_trials, alpha))

    @staticmethod
    def unanimous(num_trials: int, alpha: float) -> float:
        """See `Bound.unanimous`."""
        # In closed form, without the large table of all counts.
        return math.exp(math.log(alpha) / num_trials)

    @staticmethod
    def extremes(
        votes: Int[np.ndarray, "rows"],
        drawn: Int[np.ndarray, "rows"],
        *,
        num_estimation: int,
        alpha: float,
    ) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
        """See `Bound.extremes`; the smallest and the largest bound are equal."""
        lower = np.asarray(clopper_pearson_lower(votes, num_estimation, alpha))
        return lower, lower

    def count(
        self,
        logits_fn: AnyCallable,
        examples: Iterable[Example],
        *,
        noise: AnyNoise,
        plan: VotePlan,
        placement: Placement,
        on_tally: OnTally | None = None,
    ) -> Iterator[tuple[int, Tally]]:
        """See `Bound.count`; in the order of the examples."""
        return count_in_order(
            logits_fn, examples, noise=noise, num_selection=plan.num_selection,
            num_estimation=plan.num_estimation, placement=placement, on_tally=on_tally,
        )  # fmt: skip

    def p_lower(self, tally: Tally, plan: VotePlan) -> float:
        """See `Bound.p_lower`."""
        return self.lower(tally.votes, plan.num_estimation, plan.alpha)


def check_alpha(alpha: float) -> None:
    """Refuse a failure probability outside (0, 1).

    Raises:
        ValueError: alpha is not strictly between 0 and 1.
    """
    if not 0.0 < alpha < 1.0:
        raise ValueError(
            f"alpha={alpha}: give a failure probability strictly between 0 and 1, "
            "for example 0.001."
        )


@functools.lru_cache(maxsize=8)
def lower_bounds(num_trials: int, alpha: float) -> Float[np.ndarray, "counts"]:
    """Clopper-Pearson lower bounds for every count 0..num_trials, never decreasing.

    Entry k is the alpha quantile of Beta(k, num_trials - k + 1), 0 for k = 0. SciPy's
    quantile is not always monotone in k (scipy issue 12796). The lower of the
    neighbours is then taken, which keeps every entry a valid bound.

    Raises:
        ValueError: alpha outside (0, 1), or num_trials outside 1..10,000,000.

    Source: Clopper and Pearson 1934; `beta.ppf(alpha, k, n - k + 1)`.
    """
    check_alpha(alpha)
    if not 1 <= num_trials <= MOST_TRIALS:
        raise ValueError(
            f"num_trials={num_trials}: give a number of votes from 1 to {MOST_TRIALS}."
        )
    count = np.arange(1, num_trials + 1, dtype=np.float64)
    quantile = special.betaincinv(count, num_trials - count + 1.0, alpha)
    if not np.isfinite(quantile).all():
        raise ValueError(
            f"SciPy's betaincinv has no finite value for alpha={alpha}, "
            f"num_trials={num_trials}: choose a larger alpha."
        )
    table = np.concatenate([[0.0], np.minimum.accumulate(quantile[::-1])[::-1]])
    table.flags.writeable = False
    return table


def clopper_pearson_lower(
    num_successes: int | Int[np.ndarray, "*counts"], num_trials: int, alpha: float
) -> Float[np.ndarray, "*counts"]:
    """One-sided lower bound at level 1 - alpha on the probability of a vote.

    Args:
        num_successes: one count or an array of counts, each in 0..num_trials.
        num_trials: votes drawn, fixed before drawing.
        alpha: probability that the bound exceeds the truth.

    Returns:
        float64 bounds shaped as `num_successes`.

    Raises:
        ValueError: alpha or num_trials impossible, or a count outside 0..num_trials.
    """
    table = lower_bounds(num_trials, alpha)
    count = np.asarray(num_successes)
    if ((count < 0) | (count > num_trials)).any():
        raise ValueError(
            f"num_successes={count} is outside 0..{num_trials}, the votes drawn."
        )
    return np.asarray(table[count])


def max_radius(sigma: float, num_trials: int, alpha: float) -> float:
    """The largest l2 radius of Gaussian noise, certified by a unanimous vote.

    Equals `sigma * PhiInv(alpha ** (1 / num_trials))`, in units of sigma; 2.463263,
    3.198580, 3.811457 sigma for 1e3, 1e4, 1e5 votes at alpha 0.001. 0 when even a
    unanimous vote abstains.

    Raises:
        ValueError: sigma or num_trials not positive, or alpha outside (0, 1).
    """
    check_alpha(alpha)
    _check_positive("sigma", sigma)
    _check_positive("num_trials", num_trials)
    # 1 - alpha ** (1 / n) without cancellation, and the mirrored quantile.
    p_other = -math.expm1(math.log(alpha) / num_trials)
    return max(0.0, -sigma * float(special.ndtri(p_other)))


def num_for_radius(radius: float, sigma: float, alpha: float) -> int:
    """The fewest votes whose largest radius under Gaussian noise reaches `radius`.

    Equals `ceil(log(alpha) / log(Phi(radius / sigma)))`: 19, 40, 301, 5,114, 29,691 for
    radii of 0.5, 1, 2, 3, 3.5 sigma at alpha 0.001. Radius 0 means no abstention.

    Raises:
        ValueError: negative radius, sigma not positive, alpha outside (0, 1), or a
            radius so many sigma away that no number of votes can be stated.
    """
    check_alpha(alpha)
    _check_positive("sigma", sigma)
    if not (math.isfinite(radius) and radius >= 0):
        raise ValueError(f"radius={radius}: give a finite radius that is not negative.")
    log_p = float(special.log_ndtr(radius / sigma))
    if log_p > -1e-300:
        raise ValueError(
            f"radius={radius} is {radius / sigma:.0f} sigma, which no number of votes "
            "certifies: choose a larger sigma."
        )
    return math.ceil(math.log(alpha) / log_p)


def top_two_p_value(first: int, second: int) -> float:
    """Two-sided binomial p-value that the top two classes are equally likely.

    At alpha 0.001 a unanimous vote (second = 0) decides from 11 votes on. Without any
    vote the p-value is 1.

    Source: Cohen et al. 2019, arXiv:1902.02918, Predict; Hung and Fithian 2019.
    """
    # The import takes two seconds, and certificates do not need it.
    from scipy import stats

    if first + second == 0:
        return 1.0
    return float(stats.binomtest(first, first + second, 0.5).pvalue)


def _check_positive(name: str, value: float | int) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{name}={value}: give a positive finite number.")
