"""What stopping votes early saved in a run, and what it cost, as a table."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from advjax import smoothing
from advjax.reports.tables import DASH, Table


def needs(
    noise: smoothing.Noise,
    *,
    num_selection: int,
    num_estimation: int,
    alpha: float,
    radii: Sequence[float],
) -> dict[str, Any]:
    """For a run's settings: the cap of both bounds, and the needs of each radius.

    A radius has two numbers: agreeing votes of `num_estimation`, and the fewest votes
    that certify it if all agree; None where no number does.
    """

    def of_bound(bound: str) -> dict[str, Any]:
        plan = smoothing.plan(
            noise,
            num_selection=num_selection,
            num_estimation=num_estimation,
            alpha=alpha,
            radii=radii,
            bound=bound,
        )
        return {
            "cap": plan.max_radius,
            "radii": [[r.votes_needed, r.num_estimation] for r in plan.radii],
        }

    return {bound: of_bound(bound) for bound in smoothing.BOUNDS}


def table(drawn: Int[np.ndarray, "points"], settings: Mapping[str, Any]) -> Table:
    """The needs of each asked radius under both bounds; the votes saved are a note.

    Args:
        drawn: estimation votes of each point, at least one.
        settings: those of the run, with `radii` and `needs`.
    """
    n, n0 = settings["num_estimation"], settings["num_selection"]
    needed = settings["needs"]
    fixed, anytime = needed["clopper_pearson"], needed["sequential"]
    pairs = zip(settings["radii"], fixed["radii"], anytime["radii"], strict=True)
    rows, lost = [], []
    for radius, (votes, unanimous), (votes_anytime, unanimous_anytime) in pairs:
        numbers = (votes, votes_anytime, unanimous, unanimous_anytime)
        rows.append([f"{radius:g}", *map(_number, numbers)])
        if votes is not None and votes_anytime is None:
            lost.append(f"{radius:g}")
    mean = float(np.mean(drawn))
    return Table(
        [
            "radius", f"of {n:,}, fixed", f"of {n:,}, sequential",
            "unanimous, fixed", "unanimous, sequential",
        ],
        rows,
        [
            f"votes that certify a radius; {DASH}: out of reach",
            "other radii than these are not pursued: ACR and the curve in between are "
            "lower than with a fixed n",
            f"{mean:,.0f} votes a point (median {np.median(drawn):,.0f}, all "
            f"{n:,} at {np.mean(drawn == n):.0%} of points): {n / mean:.1f} times "
            f"fewer than n={n:,}; {(n0 + n) / (n0 + mean):.1f} times with the "
            f"n0={n0:,} that choose the class",
            f"largest radius {anytime['cap']:.4g} instead of {fixed['cap']:.4g}; "
            f"asked radii that only a fixed n reaches: {', '.join(lost) or 'none'}",
        ],
    )  # fmt: skip


def _number(votes: int | None) -> str:
    return DASH if votes is None or votes > 10**9 else f"{votes:,}"
