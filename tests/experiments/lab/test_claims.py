import numpy as np
import pytest

from advjax.metrics.clustered import ClusteredMean, Contrast, clustered_difference
from advjax.reports import tables
from experiments.lab import claims
from experiments.lab.claims import Claim, Verdict

ABOVE = claims.Criterion("drop", Contrast(0.2, 0.1, 0.3, 20))
BELOW = claims.Criterion("drop", Contrast(-0.2, -0.3, -0.1, 20))
ACROSS = claims.Criterion("drop", Contrast(0.1, -0.1, 0.3, 20))


@pytest.mark.parametrize(
    ("tests", "verdict"),
    [
        ([ABOVE, ABOVE], Verdict.HOLDS),
        ([ABOVE, ACROSS], Verdict.UNDECIDED),
        ([ABOVE, ACROSS, BELOW], Verdict.FAILS),
        ([], Verdict.UNTESTED),
    ],
)
def test_a_claim_holds_if_all_its_tests_do(tests, verdict):
    assert Claim("It drops", "Table 1", tests).verdict is verdict


def test_too_few_recordings_decide_nothing():
    def of(count):
        names = [f"r{i}" for i in range(count)]
        ones, zeros = (ClusteredMean(np.full(count, v), names) for v in (1.0, 0.0))
        return claims.Criterion("drop", clustered_difference(ones, zeros)).verdict

    assert of(5) is Verdict.UNDECIDED
    assert of(6) is Verdict.HOLDS


def test_no_interval_decides_nothing():
    none = claims.Criterion("drop", Contrast(np.inf, np.nan, np.nan, 20))
    assert none.verdict is Verdict.UNDECIDED


def test_the_table_names_every_test_with_its_figures():
    found = claims.table(
        [
            Claim("It drops", "6.9 to 29.2", [ABOVE, BELOW]),
            Claim("It leads", "Table 2", why_not="two networks only"),
        ]
    )
    assert found.rows == [
        ["It drops", "6.9 to 29.2", "does not", "drop", "+0.200 [+0.100, +0.300]"],
        ["", "", "", "drop", "-0.200 [-0.300, -0.100]"],
        ["It leads", "Table 2", "not tested", "two networks only", tables.DASH],
    ]
    assert not claims.table([]).notes
