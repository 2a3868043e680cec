"""Claims of a publication beside our measurements, each judged by named tests.

    lower = Criterion(
        "fooling rate, plain minus adversarial, 37 clips",
        clustered_difference(plain, defended),
    )
    table([Claim("Adversarial training lowers the fooling rate", "Table 2", (lower,))])

A criterion is a difference whose sign the claim predicts: it is above zero where the
claim is right. Its interval decides, by bootstrap over recordings.
"""

import enum
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from advjax.metrics.clustered import Contrast
from advjax.reports.tables import DASH, Table

LEAST_RECORDINGS = 6
"""Fewer recordings decide nothing.

Five that all agree still have a probability of 1/16 under a fair coin, two-sided, where
the bootstrap's interval already excludes zero; six have 1/32.
"""


class Verdict(enum.Enum):
    """The state of a claim."""

    HOLDS = "holds"
    FAILS = "does not"
    UNDECIDED = "undecided"
    UNTESTED = "not tested"


class Criterion(NamedTuple):
    """A difference that is above zero where a claim is right.

    Attributes:
        name: the quantity, what is subtracted from what, and the number of clips.
        difference: its value and interval.
        digits: after the decimal point in the table.
    """

    name: str
    difference: Contrast
    digits: int = 3

    @property
    def verdict(self) -> Verdict:
        """Decided by an interval of enough recordings that excludes zero."""
        _, low, high, num_recordings = self.difference
        if num_recordings < LEAST_RECORDINGS:
            return Verdict.UNDECIDED
        if low > 0:
            return Verdict.HOLDS
        return Verdict.FAILS if high < 0 else Verdict.UNDECIDED

    @property
    def figures(self) -> str:
        """The difference with its interval, such as `+0.120 [+0.040, +0.210]`."""
        value, low, high, _ = self.difference
        value, low, high = (f"{v:+.{self.digits}f}" for v in (value, low, high))
        return f"{value} [{low}, {high}]"


class Claim(NamedTuple):
    """A claim of a publication.

    Attributes:
        text: a sentence.
        evidence: of the publication: its entries, or the place of the sentence.
        criteria: all of them have to hold.
        why_not: the reason where there is no criterion.
    """

    text: str
    evidence: str
    criteria: Sequence[Criterion] = ()
    why_not: str = ""

    @property
    def verdict(self) -> Verdict:
        """Holds if all criteria do; fails if one does."""
        found = [each.verdict for each in self.criteria]
        if not found:
            return Verdict.UNTESTED
        if Verdict.FAILS in found:
            return Verdict.FAILS
        return Verdict.UNDECIDED if Verdict.UNDECIDED in found else Verdict.HOLDS


def table(claims: Iterable[Claim]) -> Table:
    """A line for each criterion of each claim; the verdict is the claim's."""
    rows = []
    for claim in claims:
        first = [claim.text, claim.evidence, claim.verdict.value]
        judged = [[each.name, each.figures] for each in claim.criteria]
        for columns in judged or [[claim.why_not or DASH, DASH]]:
            rows.append([*first, *columns])
            first = ["", "", ""]
    notes = [
        "difference: above 0 where the claim is right; in brackets or below it: its "
        "95 % interval, by bootstrap over recordings for both sides together",
        "holds: every interval of the claim is above 0; does not: one is below 0; "
        f"undecided: otherwise, and with fewer than {LEAST_RECORDINGS} recordings; "
        "the level is that of each test alone",
    ]
    header = ["claim", "publication", "verdict", "test", "difference"]
    return Table(header, rows, notes if rows else [])
