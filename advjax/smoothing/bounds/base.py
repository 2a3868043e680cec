"""The contract of a bound, and the vote plan of a certificate."""

import abc
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from advjax.smoothing.counting.placement import Placement, default_tile
from advjax.smoothing.counting.tally import Example, OnTally, Tally
from advjax.smoothing.noises.base import AnyNoise, Noise
from advjax.types import AnyCallable

MOST_VOTES = 2**31 - 1
"""The most votes of an example: they are counted in a 32-bit number."""


@dataclasses.dataclass(frozen=True)
class Bound(abc.ABC):
    """A lower bound on the probability of the selected class, from its votes.

    Attributes:
        radii: the radii of interest, in the units of the example.
        name: its name in `BOUNDS`.
        stops_early: true if the votes of an example decide when they stop.
        most_votes: the largest number of estimation votes.
    """

    radii: tuple[float, ...] = ()

    name: ClassVar[str]
    stops_early: ClassVar[bool]
    most_votes: ClassVar[int] = MOST_VOTES

    @staticmethod
    @abc.abstractmethod
    def lower(num_successes: int, num_trials: int, alpha: float) -> float:
        """The bound after `num_trials` votes, of which `num_successes` agree."""

    @staticmethod
    @abc.abstractmethod
    def unanimous(num_trials: int, alpha: float) -> float:
        """The bound after `num_trials` votes that all agree."""

    @staticmethod
    @abc.abstractmethod
    def extremes(
        votes: Int[np.ndarray, "rows"],
        drawn: Int[np.ndarray, "rows"],
        *,
        num_estimation: int,
        alpha: float,
    ) -> tuple[Float[np.ndarray, "rows"], Float[np.ndarray, "rows"]]:
        """The smallest and the largest bound that such votes may give.

        Args:
            votes: estimation votes for the class.
            drawn: estimation votes drawn.
            num_estimation: the most that the plan allows.
            alpha: failure probability of a certificate.
        """

    @abc.abstractmethod
    def count(
        self,
        logits_fn: AnyCallable,
        examples: Iterable[Example],
        *,
        noise: AnyNoise,
        plan: "VotePlan",
        placement: Placement,
        on_tally: OnTally | None = None,
    ) -> Iterator[tuple[int, Tally]]:
        """Yield each example's number and all votes of its certificate.

        Args:
            logits_fn: one example to one row of logits, see `certify`.
            examples: examples to count votes for.
            noise: the noise distribution.
            plan: the numbers of votes.
            placement: the layout of the copies on the devices.
            on_tally: called with an example's number and its votes so far.
        """

    @abc.abstractmethod
    def p_lower(self, tally: Tally, plan: "VotePlan") -> float:
        """The bound on the selected class's probability, from a complete tally."""

    def default_tile(self) -> int:
        """Noisy copies in a tile on the default backend."""
        return default_tile()

    def copies_at_once(self, tile: int) -> int:
        """Noisy copies that a device evaluates side by side, for this tile."""
        return tile

    def settings(
        self, noise: Noise, plan: "VotePlan", placement: Placement
    ) -> Mapping[str, Any]:
        """Settings of certificates besides the plan and the tile, as JSON values."""
        return {}


class VotePlan(NamedTuple):
    """The numbers of votes of a certificate, and their bound.

    Attributes:
        num_selection: votes that choose the class (n0).
        num_estimation: fresh votes that bound its probability (n); with a bound that
            stops early, the most of them.
        alpha: failure probability of a certificate.
        bound: the bound.
    """

    num_selection: int
    num_estimation: int
    alpha: float
    bound: Bound

    def __str__(self) -> str:
        """The numbers of votes and alpha, as in `n0=100, n=10000, alpha=0.001`."""
        most = "at most " if self.bound.stops_early else ""
        return (
            f"n0={self.num_selection}, n={most}{self.num_estimation}, "
            f"alpha={self.alpha:g}"
        )
