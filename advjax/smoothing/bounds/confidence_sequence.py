"""Confidence sequences: anytime-valid bounds on the probability of a vote.

A Clopper-Pearson bound holds at a number of votes that was fixed beforehand. The bounds
here hold at all numbers of votes at once, so that counting may stop as soon as enough
is known, for any reason, and alpha still holds.

The evidence against "the probability is at most p" after s votes of n is a likelihood
ratio, averaged over what the probability q may be instead:

    M_n(p) = E_q[ q^s (1 - q)^(n-s) ] / ( p^s (1 - p)^(n-s) ),  q ~ Beta(1, b) above p.

It starts at 1 and, where the probability is at most p, never grows on average; so it
ever reaches 1 / alpha with probability at most alpha (Ville). With u = (1 - q)/(1 - p)
the prior is Beta(b, 1) in u whatever p is, and M_n(p) = E[(u + (1 - u)/p)^s u^(n-s)]
falls in p: the p that are ruled out are those below the lower bound.

b decides which votes are cheap: small b suits near-unanimous ones. True radius 1.5
sigma asked for 1 sigma at alpha 0.001, by simulation, beside the cap at 10,000 votes
(Clopper-Pearson: 3.199 sigma), for b = 1, 1/2, 0.3, 0.2, 0.1: 219, 225, 232, 237, 257
votes and 3.118, 3.153, 3.170, 3.179, 3.189 sigma. b = 1/4 gives most of both.

Source: Howard et al. 2021, arXiv:1810.08240, confidence sequences. The truncated prior
in u is ours; tests enumerate its averages.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy import special

from advjax.smoothing.bounds.clopper_pearson import check_alpha
from advjax.smoothing.laws.base import Noise

FUTILITY_ALPHA = 0.01
"""Probability that votes are stopped although a radius that holds could be reached.

It loses certificates and makes none wrong. Ten times as strict costs a third more votes
where a radius is out of reach, by simulation.
"""

_PRIOR = 0.25
"""b above."""

_HALVINGS = 45

Counts = int | Int[np.ndarray, "*counts"]
Probabilities = float | Float[np.ndarray, "*counts"]


def sequential_lower(
    num_successes: Counts, num_trials: Counts, alpha: float
) -> Float[np.ndarray, "*counts"]:
    """Lower bounds on the probability of a vote, all of them valid at once.

    However many votes are drawn and whenever it is looked at, the largest of the bounds
    exceeds the truth with probability at most `alpha`.

    Args:
        num_successes: votes for the class, at most `num_trials`.
        num_trials: votes drawn so far.
        alpha: probability that any of the bounds exceeds the truth.

    Raises:
        ValueError: alpha outside (0, 1), or counts outside 0..num_trials.
    """
    return _last_ruled_out(
        lambda p: _log_evidence_above(num_successes, num_trials, p) >= -np.log(alpha),
        num_successes,
        num_trials,
        alpha,
    )


def sequential_upper(
    num_successes: Counts, num_trials: Counts, alpha: float
) -> Float[np.ndarray, "*counts"]:
    """Upper bounds on the probability of a vote, all of them valid at once.

    Arguments and errors are those of `sequential_lower`.
    """

    def ruled_out(other):
        p = 1.0 - other
        evidence = _log_evidence(num_successes, num_trials, p)
        return (evidence >= -np.log(alpha)) & (p * num_trials > num_successes)

    last = _last_ruled_out(ruled_out, num_successes, num_trials, alpha)
    return np.asarray(1.0 - last)


def _last_ruled_out(ruled_out, num_successes, num_trials, alpha):
    """The largest probability that is ruled out, by bisection from below."""
    check_alpha(alpha)
    if (np.less(num_successes, 0) | np.greater(num_successes, num_trials)).any():
        raise ValueError(
            f"votes {num_successes} do not lie in 0..{num_trials}, the votes drawn"
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


def _log_evidence_above(num_successes, num_trials, p):
    """log M_n(p) against a probability of at most `p`, in nats; falls in p."""
    failures = num_trials - num_successes
    # Shares of the posterior and of the prior that lie above p.
    posterior = special.betainc(_PRIOR + failures, 1.0 + num_successes, 1.0 - p)
    truncated = np.log(posterior) - _PRIOR * np.log1p(-p)
    return truncated + _log_evidence(num_successes, num_trials, p)


def _log_evidence(num_successes, num_trials, p):
    """log of the same average over all of Beta(1, b), in nats: evidence against `p`.

    Against "the probability is at least p" it counts where fewer than p voted so.
    """
    failures = num_trials - num_successes
    return (
        special.betaln(1.0 + num_successes, _PRIOR + failures)
        - special.betaln(1.0, _PRIOR)
        - special.xlogy(num_successes, p)
        - special.xlog1py(failures, -p)
    )


class Bracket(NamedTuple):
    """What the looks at one example's votes have shown so far.

    Attributes:
        lower: the largest lower bound on the probability of the selected class.
        ceiling: no later lower bound will lie above it: because the votes that are left
            are too few, or, wrongly with probability FUTILITY_ALPHA, because the
            probability itself lies below.
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
        bracket: what the looks before have shown.
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
    """The numbers of votes at which an example is looked at, up to `num_estimation`.

    Whole tiles, an eighth more from look to look: few enough that a device is not kept
    waiting, and at most an eighth of the votes are drawn in vain.

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
