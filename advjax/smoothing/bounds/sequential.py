"""The sequential bound: votes that stop as soon as every radius of interest is decided.

    plan = VotePlan(100, 10_000, 1e-3, Sequential(radii=(0.1, 0.25)))
    pairs = certify_each(logits_fn, examples, noise=gaussian(0.25), plan=plan)

The bound is computed after 20, 40, 60, ... votes of an example, as `looks` lists them.
Counting ends when the confidence sequence decides every radius or all votes are drawn.
Each certificate is wrong with probability at most alpha, although the votes decide when
they stop. Only these radii are tested; the curve between them is a lower bound.

Source: confidence sequences as in `confidence_sequence`; the stopping rule is ours.
"""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from advjax.smoothing.bounds.base import Bound, VotePlan
from advjax.smoothing.bounds.clopper_pearson import ClopperPearson
from advjax.smoothing.bounds.confidence_sequence import (
    FUTILITY_ALPHA,
    Bracket,
    is_settled,
    looks,
    narrow,
    sequential_lower,
)
from advjax.smoothing.bounds.reach import reach
from advjax.smoothing.counting.placement import Placement, default_tile
from advjax.smoothing.counting.scheduler import Stopping, count_until
from advjax.smoothing.counting.tally import Example, OnTally, Tally
from advjax.smoothing.noises.base import AnyNoise, Noise
from advjax.types import AnyCallable

SEQUENTIAL_TILE = 20
"""Copies between the first looks: half as many as decide most examples."""


class Sequential(Bound):
    """An anytime-valid bound, whose votes stop once it decides each of `radii`."""

    name = "sequential"
    stops_early = True

    @staticmethod
    def lower(num_successes: int, num_trials: int, alpha: float) -> float:
        """See `Bound.lower`."""
        return float(sequential_lower(num_successes, num_trials, alpha))

    @staticmethod
    @functools.lru_cache(10_000)  # a plan's needs are searched for by bisection
    def unanimous(num_trials: int, alpha: float) -> float:
        """See `Bound.unanimous`."""
        return float(sequential_lower(num_trials, num_trials, alpha))

    @staticmethod
    def extremes(
        votes: Int[np.ndarray, "rows"],
        drawn: Int[np.ndarray, "rows"],
        *,
        num_estimation: int,
        alpha: float,
    ) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
        """See `Bound.extremes`.

        The bound of a certificate is the largest of all looks. It is at least that of
        the last look, and at most that of a look at agreeing votes alone.
        """
        return (
            np.asarray(sequential_lower(votes, drawn, alpha)),
            np.asarray(sequential_lower(votes, votes, alpha)),
        )

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
        """See `Bound.count`; examples that need few votes overtake others."""
        if placement.tile is None:
            placement = placement._replace(tile=SEQUENTIAL_TILE)
        stopping = Stopping(
            looks=looks(placement.tile, plan.num_estimation),
            look=functools.partial(_look, plan),
            is_decided=lambda tally: is_settled(
                Bracket(tally.lower, tally.ceiling), noise, self.radii
            ),
        )
        return count_until(
            logits_fn, examples, noise=noise, num_selection=plan.num_selection,
            stopping=stopping, placement=placement, on_tally=on_tally,
        )  # fmt: skip

    def p_lower(self, tally: Tally, plan: VotePlan) -> float:
        """See `Bound.p_lower`; the largest of all looks."""
        return tally.lower

    def default_tile(self) -> int:
        """See `Bound.default_tile`."""
        return SEQUENTIAL_TILE

    def copies_at_once(self, tile: int) -> int:
        """See `Bound.copies_at_once`; as many tiles as make the default tile."""
        return max(tile, default_tile())

    def settings(
        self, noise: Noise, plan: VotePlan, placement: Placement
    ) -> dict[str, Any]:
        """See `Bound.settings`; `needs` compares this bound with a fixed number."""
        return {
            "radii": list(self.radii),
            "needs": needs(noise, plan),
            "futility_alpha": FUTILITY_ALPHA,
            "tiles_at_once": placement.tiles_at_once,
        }


def needs(noise: Noise, plan: VotePlan) -> dict[str, Any]:
    """The cap and the votes that each radius needs under both bounds, as JSON values.

    A radius has two numbers: agreeing votes of `num_estimation`, and the fewest votes
    that certify it if all agree. None stands for a radius that is out of reach.
    """
    found = {}
    for kind in (ClopperPearson, Sequential):
        within = reach(noise, plan._replace(bound=kind(plan.bound.radii)))
        found[kind.name] = {
            "cap": within.max_radius,
            "radii": [[r.votes_needed, r.num_estimation] for r in within.radii],
        }
    return found


def _look(plan: VotePlan, tallies: Sequence[Tally]) -> list[Tally]:
    """The tallies with their brackets after one more look."""
    bracket = narrow(
        Bracket(
            np.array([tally.lower for tally in tallies]),
            np.array([tally.ceiling for tally in tallies]),
        ),
        np.array([tally.votes for tally in tallies], np.int64),
        np.array([tally.num_estimation for tally in tallies], np.int64),
        num_estimation=plan.num_estimation,
        alpha=plan.alpha,
    )
    pairs = zip(bracket.lower.tolist(), bracket.ceiling.tolist(), strict=True)
    return [
        tally._replace(lower=lower, ceiling=ceiling)
        for tally, (lower, ceiling) in zip(tallies, pairs, strict=True)
    ]
