import numpy as np
import pytest
from scipy import stats

from advjax.metrics.shares import Share, share_of


@pytest.mark.parametrize("level", [0.9, 0.95, 0.999])
@pytest.mark.parametrize(
    ("count", "total"), [(0, 1), (1, 1), (0, 30), (27, 30), (30, 30), (3, 10_000)]
)
def test_the_interval_is_the_exact_one_of_a_binomial_test(count, total, level):
    known = stats.binomtest(count, total).proportion_ci(level, method="exact")
    np.testing.assert_allclose(
        Share(count, total).interval(level), (known.low, known.high), rtol=1e-6
    )


@pytest.mark.parametrize("rate", [0.02, 0.5, 0.9])
def test_the_interval_covers_the_rate_as_often_as_it_says(rate):
    total = 30
    chance = stats.binom(total, rate).pmf(np.arange(total + 1))
    held = [
        low <= rate <= high
        for low, high in (Share(count, total).interval() for count in range(total + 1))
    ]
    assert chance[held].sum() >= 0.95


def test_a_share_of_nothing_has_no_value_and_no_interval():
    assert np.isnan(Share(0, 0).value)
    for wrong in (Share(0, 0), Share(3, 2), Share(-1, 2)):
        with pytest.raises(ValueError, match="0 <= count <= total"):
            wrong.interval()
    with pytest.raises(ValueError, match="0 < level < 1"):
        Share(1, 2).interval(95)


def test_hits_are_counted():
    found = share_of(np.array([True, False, True]))
    assert found == (2, 3) and found.value == 2 / 3
    assert share_of(np.zeros(0, bool)) == (0, 0)
