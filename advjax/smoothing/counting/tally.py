"""Votes of one example, counted so far."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from advjax.types import AnyArray, Key


class Tally(NamedTuple):
    """The votes of one example so far, from which a later start continues.

    Attributes:
        num_selection: copies counted that choose the class.
        selection: their votes for each class; empty before the first.
        num_estimation: copies counted that bound the class's probability.
        estimation: their votes for each class; empty before the first.
        lower: with a bound that stops early, the proved bound on that probability.
        ceiling: with such a bound, an upper bound on what further votes can prove.
    """

    num_selection: int = 0
    selection: tuple[int, ...] = ()
    num_estimation: int = 0
    estimation: tuple[int, ...] = ()
    lower: float = 0.0
    ceiling: float = 1.0

    @property
    def top(self) -> int:
        """The selected class: that of most selection votes."""
        return int(np.argmax(self.selection))

    @property
    def votes(self) -> int:
        """Estimation votes for the selected class."""
        return self.estimation[self.top]


NO_VOTES = Tally()

OnTally = Callable[[int, Tally], None]
"""Called with an example's number and its votes so far."""


class Example(NamedTuple):
    """One example to certify.

    Attributes:
        x: floating and finite, in the units of the noise.
        key: its key; selection and estimation each get their half.
        tally: votes that an earlier start has counted, with the same key and tile.
    """

    x: AnyArray
    key: Key | Any
    tally: Tally = NO_VOTES


def add(tally: Tally, half: int, counts: np.ndarray, stop: int) -> Tally:
    """The tally plus the counts of one half's copies up to number `stop`."""
    before = (tally.selection, tally.estimation)[half]
    votes = tuple(int(n) for n in (counts + np.asarray(before) if before else counts))
    if half == 0:
        return tally._replace(num_selection=stop, selection=votes)
    return tally._replace(num_estimation=stop, estimation=votes)


def refuse_no_votes(counts: Sequence[int], num_samples: int) -> None:
    """Refuse counts in which no copy voted for any class.

    Raises:
        ValueError: all counts are zero.
    """
    if sum(counts) == 0:
        raise ValueError(
            f"the classifier gave no finite logits on any of {num_samples} noisy "
            "copies: check its weights for NaN, or use less noise."
        )
