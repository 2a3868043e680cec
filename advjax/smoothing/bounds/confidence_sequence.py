"""Confidence sequences: anytime-valid bounds on the probability of a vote.

A Clopper-Pearson bound holds at a number of votes that is fixed beforehand. The bounds
of this module hold at all numbers of votes at once. Counting may stop at any time, for
any reason, and alpha still holds.

The evidence against "the probability is at most p" after s votes of n is a likelihood
ratio, averaged over the alternatives q:

    M_n(p) = E_q[ q^s (1 - q)^(n-s) ] / ( p^s (1 - p)^(n-s) ),  q ~ Beta(1, b) above p.

It starts at 1 and, if the probability is at most p, never grows on average; so it ever
reaches 1 / alpha with probability at most alpha (Ville). With u = (1 - q)/(1 - p) the
prior is Beta(b, 1) in u for every p, and M_n(p) = E[(u + (1 - u)/p)^s u^(n-s)] falls in
p: all p below the lower bound are ruled out.

Small b suits near-unanimous votes. Simulated votes to certify 1 sigma at alpha 0.001
when the true radius is 1.5 sigma, for b = 1, 1/2, 0.3, 0.2, 0.1: 219, 225, 232, 237,
257. Largest radius at 10,000 votes: 3.118, 3.153, 3.170, 3.179, 3.189 sigma
(Clopper-Pearson: 3.199). b = 1/4 gives most of both.

Source: Howard et al. 2021, arXiv:1810.08240, confidence sequences. The truncated prior
in u is ours; tests enumerate its averages.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from advjax.smoothing.bounds.clopper_pearson import check_alpha
from advjax.smoothing.noises.base import Noise

FUTILITY_ALPHA = 0.01
"""Probability that votes stop although they could still have certified a radius.

It loses certificates and makes none wrong. A tenth of it costs a third more votes for
radii that are out of reach, by simulation.
"""

_PRIOR = 0.25
"""The b of the prior."""

_HALVINGS = 45

Counts = int | Int[np.ndarray, "*counts"]
Probabilities = float | Float[np.ndarray, "*counts"]


def sequential_lower(
    num_successes: Counts, num_trials: Counts, alpha: float
) -> Float[np.ndarray, "*counts"]:
    """Anytime-valid lower bounds on the probability of a vote.

    For any number of votes and any times of looking, the largest of the bounds exceeds
    the true probability with probability at most `alpha`.

    Args:
        num_successes: votes for the class, at most `num_trials`.
        num_trials: votes drawn so far.
        alpha: probability that any of the bounds exceeds the truth.

    Raises:
        ValueError: alpha outside (0, 1), or counts outside 0..num_trials.
    """
    evidence = _log_evidence_above(num_successes, num_trials)
    return _last_ruled_out(
        lambda p: evidence(p) >= -np.log(alpha), num_successes, num_trials, alpha
    )


def sequential_upper(
    num_successes: Counts, num_trials: Counts, alpha: float
) -> Float[np.ndarray, "*counts"]:
    """Anytime-valid upper bounds on the probability of a vote.

    Arguments and errors are those of `sequential_lower`.
    """

    evidence = _log_evidence(num_successes, num_trials)
    last = _last_ruled_out(
        lambda other: (
            (evidence(1.0 - other) >= -np.log(alpha))
            & ((1.0 - other) * num_trials > num_successes)
        ),
        num_successes,
        num_trials,
        alpha,
    )
    return np.asarray(1.0 - last)


def _last_ruled_out(ruled_out, num_successes, num_trials, alpha):
    """The largest probability that is ruled out, by bisection from below."""
    check_alpha(alpha)
    if (np.less(num_successes, 0) | np.greater(num_successes, num_trials)).any():
        raise ValueError(
            f"num_successes={num_successes} is outside 0..{num_trials}, the votes"
        )
    shape = np.broadcast_shapes(np.shape(num_successes), np.shape(num_trials))
    low, high = np.zeros(shape), np.ones(shape)
    # The last middles may round to 1, where nothing is ruled out.
    with np.errstate(divide="ignore", invalid="ignore"):
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            out = ruled_out(middle)
            low, high = np.where(out, middle, low), np.where(out, high, middle)
    return low


def _log_evidence_above(num_successes, num_trials):
    """log M_n against a probability of at most p, in nats, as a function of p.

    It falls in p.
    """
    failures = num_trials - num_successes
    over_all = _log_evidence(num_successes, num_trials)
    # betainc: share of the posterior that lies above p; power of 1 - p: of the prior.
    return lambda p: (
        np.log(special.betainc(_PRIOR + failures, 1.0 + num_successes, 1.0 - p))
        - _PRIOR * np.log1p(-p)
        + over_all(p)
    )


def _log_evidence(num_successes, num_trials):
    """log M_n with the prior over all of Beta(1, b), in nats, as a function of p.

    It is evidence against p, and against "the probability is at least p" if the share
    of votes is below p.
    """
    failures = num_trials - num_successes
    average = special.betaln(1.0 + num_successes, _PRIOR + failures)
    average = average - special.betaln(1.0, _PRIOR)
    return lambda p: (
        average - special.xlogy(num_successes, p) - special.xlog1py(failures, -p)
    )


class Bracket(NamedTuple):
    """Bounds from the looks at one example's votes so far.

    Attributes:
        lower: the largest lower bound on the probability of the selected class.
        ceiling: upper bound on all later lower bounds: the remaining votes are too few
            to exceed it, or the probability itself lies below (the latter is wrong with
            probability FUTILITY_ALPHA).
    """

    lower: Probabilities = 0.0
    ceiling: Probabilities = 1.0


def narrow(
    bracket: Bracket,
    num_successes: Counts,
    num_trials: Counts,
    *,
    num_estimation: int,
    alpha: float,
) -> Bracket:
    """The bracket after one more look.

    Args:
        bracket: the bracket of the looks before.
        num_successes: votes for the selected class.
        num_trials: votes drawn so far.
        num_estimation: the most that will be drawn.
        alpha: probability that the lower bound ever exceeds the truth.
    """
    proved = sequential_lower(num_successes, num_trials, alpha)
    lower = np.maximum(bracket.lower, proved)
    # More agreeing votes only raise the bound.
    best = np.asarray(num_estimation - (num_trials - num_successes))
    attainable = np.maximum(lower, sequential_lower(best, num_estimation, alpha))
    upper = sequential_upper(num_successes, num_trials, FUTILITY_ALPHA)
    return Bracket(lower, np.minimum(bracket.ceiling, np.minimum(upper, attainable)))


def is_settled(bracket: Bracket, noise: Noise, radii: Sequence[float]) -> bool:
    """True if the bracket decides each of the radii, and whether to abstain."""
    lower, ceiling = map(float, bracket)
    if ceiling < 0.5:
        return True
    proved, possible = noise.radius(lower), noise.radius(ceiling)
    return lower >= 0.5 and all(
        proved >= radius or possible < radius for radius in radii
    )


def looks(tile: int, num_estimation: int) -> Int[np.ndarray, "looks"]:
    """The numbers of votes at which the bounds are computed, up to `num_estimation`.

    They are whole tiles, an eighth more from look to look. So a device rarely waits,
    and at most an eighth of the votes are superfluous.

    Raises:
        ValueError: a tile of no copy.
    """
    if tile < 1:
        raise ValueError(f"tile={tile}: give at least 1.")
    found, num_tiles = [], 0
    while num_tiles * tile < num_estimation:
        num_tiles += max(1, num_tiles // 8)
        found.append(min(num_tiles * tile, num_estimation))
    return np.array(found)
