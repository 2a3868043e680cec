"""What certificates with given settings can prove, known before any vote."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from advjax.smoothing.bounds import MOST_TRIALS, check_alpha, clopper_pearson_lower
from advjax.smoothing.noise import AnyNoise, check_noise
from advjax.smoothing.sequential import sequential_lower


class PlannedRadius(NamedTuple):
    """What one radius costs.

    Attributes:
        radius: the radius asked for.
        votes_needed: votes of num_estimation that certify it; None beyond the cap.
        num_estimation: fewest unanimous votes that certify it; None if out of reach.
    """

    radius: float
    votes_needed: int | None
    num_estimation: int | None


class Plan(NamedTuple):
    """What (noise, n, alpha) can prove, known before any vote.

    Attributes:
        max_radius: radius of a unanimous vote, the cap of every certificate.
        votes_needed: fewest estimation votes that do not abstain.
        radii: one entry for each radius asked for, in that order.
    """

    max_radius: float
    votes_needed: int
    radii: tuple[PlannedRadius, ...]


def plan(
    noise: AnyNoise,
    *,
    num_selection: int = 100,
    num_estimation: int = 100_000,
    alpha: float = 1e-3,
    radii: Sequence[float] = (),
    bound: str = "clopper_pearson",
) -> Plan:
    """What certificates with these settings can prove, and what the radii would need.

    Args:
        noise: the smoothing law.
        num_selection: votes that choose the class.
        num_estimation: fresh votes that bound its probability.
        alpha: probability that a certificate is wrong.
        radii: radii of interest, in units of the example.
        bound: a name in `BOUNDS`.

    Returns:
        The cap, the votes needed not to abstain, and the needs of each radius.

    Raises:
        ValueError: the request can only abstain, with the least n that may not; or an
            impossible argument; or a law of noise that has no certificate.
    """
    check_noise(noise)
    check_alpha(alpha)
    if noise.radius is None:
        raise ValueError(
            "this noise has no known certificate: use predict, or gaussian or uniform."
        )
    if bound not in BOUNDS:
        raise ValueError(f"bound={bound!r}: give one of {', '.join(BOUNDS)}.")
    _check_votes(num_selection, num_estimation, bound)
    lower, unanimous = (functools.partial(f, alpha=alpha) for f in BOUNDS[bound])
    if (highest := lower(num_estimation, num_estimation)) < 0.5:
        least = _first_true(lambda n: unanimous(n) >= 0.5, 1, 2**40)
        raise ValueError(
            f"{num_estimation} votes can only abstain at alpha={alpha}: a unanimous "
            f"vote proves p >= {highest:.4f}, below one half. Draw at least {least}, "
            "or choose a larger alpha."
        )

    def planned(radius: float) -> PlannedRadius:
        if not (math.isfinite(radius) and radius >= 0):
            raise ValueError(
                f"radius={radius}: give a finite radius that is not negative."
            )

        def enough(p_lower: float) -> bool:
            return p_lower >= 0.5 and noise.radius(p_lower) >= radius

        return PlannedRadius(
            radius,
            _first_true(lambda k: enough(lower(k, num_estimation)), 0, num_estimation),
            _first_true(lambda n: enough(unanimous(n)), 1, 2**40),
        )

    return Plan(
        max_radius=noise.radius(highest),
        votes_needed=planned(0.0).votes_needed,
        radii=tuple(map(planned, radii)),
    )


def _check_votes(num_selection: int, num_estimation: int, bound: str) -> None:
    """Refuse numbers of votes that cannot be drawn or bounded."""
    # Of a point, all of its votes are counted in one 32-bit number.
    most = MOST_VOTES - max(0, num_selection)
    if bound == "clopper_pearson":
        most = min(most, MOST_TRIALS)
    if not 1 <= num_selection < MOST_VOTES:
        raise ValueError(
            f"num_selection={num_selection}: give 1 to {MOST_VOTES - 1:,} votes."
        )
    if not 1 <= num_estimation <= most:
        raise ValueError(f"num_estimation={num_estimation}: give 1 to {most:,} votes.")


MOST_VOTES = 2**31 - 1


class Bound(NamedTuple):
    """A lower bound on the probability of a class from its votes.

    Attributes:
        lower: (votes for it, votes drawn, alpha) to the bound.
        unanimous: (votes drawn, alpha) to the bound when all are for it.
    """

    lower: Callable[[int, int, float], float]
    unanimous: Callable[[int, float], float]


BOUNDS = {
    "clopper_pearson": Bound(
        lambda votes, num, alpha: float(clopper_pearson_lower(votes, num, alpha)),
        # Without the table of all counts, which is large where n is.
        lambda num, alpha: math.exp(math.log(alpha) / num),
    ),
    "sequential": Bound(
        lambda votes, num, alpha: float(sequential_lower(votes, num, alpha)),
        lambda num, alpha: float(sequential_lower(num, num, alpha)),
    ),
}
"""Bounds that a certificate may rest on, for `plan`."""


def _first_true(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Smallest integer of low..high from which on `holds`; None if it never does."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
