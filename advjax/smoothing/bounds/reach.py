"""The radii that a vote plan can certify, known before any vote."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

from advjax.smoothing.bounds.base import MOST_VOTES, VotePlan
from advjax.smoothing.bounds.clopper_pearson import check_alpha
from advjax.smoothing.noises.base import AnyNoise, check_noise


class RadiusNeeds(NamedTuple):
    """Numbers of votes that one radius needs.

    Attributes:
        radius: the radius in question.
        votes_needed: votes of num_estimation that certify it; None beyond the cap.
        num_estimation: fewest unanimous votes that certify it; None if out of reach.
    """

    radius: float
    votes_needed: int | None
    num_estimation: int | None


class Reach(NamedTuple):
    """Radii that a vote plan can certify.

    Attributes:
        max_radius: radius of a unanimous vote, the cap of every certificate.
        votes_needed: fewest estimation votes that do not abstain.
        radii: one entry for each radius of the plan's bound, in that order.
    """

    max_radius: float
    votes_needed: int
    radii: tuple[RadiusNeeds, ...]


def reach(noise: AnyNoise, plan: VotePlan) -> Reach:
    """The largest radius of a plan, and the votes that its bound's radii need.

    Raises:
        ValueError: the request can only abstain (the message gives the least n that
            may not), an impossible argument, or noise without a certificate.
    """
    check_noise(noise)
    check_alpha(plan.alpha)
    if noise.radius is None:
        raise ValueError(
            "this noise has no known certificate: use predict, or gaussian or uniform."
        )
    _check_votes(plan)
    num_estimation, alpha = plan.num_estimation, plan.alpha
    lower = functools.partial(plan.bound.lower, alpha=alpha)
    unanimous = functools.partial(plan.bound.unanimous, alpha=alpha)
    if (highest := lower(num_estimation, num_estimation)) < 0.5:
        least = _first_true(lambda n: unanimous(n) >= 0.5, 1, 2**40)
        raise ValueError(
            f"{num_estimation} votes can only abstain at alpha={alpha}: a unanimous "
            f"vote proves p >= {highest:.4f}, below one half. Draw at least {least}, "
            "or choose a larger alpha."
        )

    def planned(radius: float) -> RadiusNeeds:
        if not (math.isfinite(radius) and radius >= 0):
            raise ValueError(
                f"radius={radius}: give a finite radius that is not negative."
            )

        def enough(p_lower: float) -> bool:
            return p_lower >= 0.5 and noise.radius(p_lower) >= radius

        return RadiusNeeds(
            radius,
            _first_true(lambda k: enough(lower(k, num_estimation)), 0, num_estimation),
            _first_true(lambda n: enough(unanimous(n)), 1, 2**40),
        )

    return Reach(
        max_radius=noise.radius(highest),
        votes_needed=planned(0.0).votes_needed,
        radii=tuple(map(planned, plan.bound.radii)),
    )


def _check_votes(plan: VotePlan) -> None:
    """Refuse numbers of votes that cannot be drawn or bounded."""
    n0, n = plan.num_selection, plan.num_estimation
    most = min(MOST_VOTES - max(0, n0), plan.bound.most_votes)
    if not 1 <= n0 < MOST_VOTES:
        raise ValueError(f"num_selection={n0}: give 1 to {MOST_VOTES - 1:,} votes.")
    if not 1 <= n <= most:
        raise ValueError(f"num_estimation={n}: give 1 to {most:,} votes.")


def _first_true(holds: Callable[[int], bool], low: int, high: int) -> int | None:
    """Smallest integer of low..high from which on `holds`; None if it never does."""
    if not holds(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle + 1, high)
    return low
