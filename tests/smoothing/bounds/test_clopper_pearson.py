import numpy as np
import pytest
from scipy import stats

from advjax.smoothing import ClopperPearson, VotePlan, gaussian, reach
from advjax.smoothing.bounds import clopper_pearson as bounds

ALPHA = 1e-3


@pytest.mark.parametrize(
    ("num_trials", "num_successes", "expected"),
    [
        (100, 100, 0.9332543008),
        (100, 99, 0.9113731113),
        (1000, 990, 0.9760361872),
        (10_000, 9_900, 0.9865311593),
        (100_000, 99_000, 0.9889893404),
        (100_000, 99_999, 0.9999076697),
        (100_000, 100_000, 0.9999309248),
    ],
)
def test_lower_bound_known_values(num_trials, num_successes, expected):
    bound = bounds.clopper_pearson_lower(num_successes, num_trials, ALPHA)
    np.testing.assert_allclose(bound, expected, rtol=0, atol=6e-11)


@pytest.mark.parametrize("alpha", [1e-6, 1e-3, 0.05, 0.5])
def test_lower_bound_is_scipys_exact_interval(alpha):
    counts = np.array([0, 1, 7, 150, 299, 300])
    judge = [
        stats.binomtest(int(k), 300, alternative="greater")
        .proportion_ci(confidence_level=1 - alpha, method="exact")
        .low
        for k in counts
    ]
    ours = bounds.clopper_pearson_lower(counts, 300, alpha)
    # The judge searches for a root; the table inverts the beta function directly.
    np.testing.assert_allclose(ours, judge, rtol=0, atol=1e-9)


def test_lower_bound_is_statsmodels_two_sided_at_twice_alpha():
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    judge = proportion.proportion_confint(850, 1000, 2 * ALPHA, "beta")[0]
    ours = bounds.clopper_pearson_lower(850, 1000, ALPHA)
    np.testing.assert_allclose(ours, judge, rtol=1e-12)


@pytest.mark.parametrize("num_trials", [1, 2, 10, 101, 20_000])
def test_table_never_decreases_and_stays_below_the_plug_in(num_trials):
    table = bounds.lower_bounds(num_trials, ALPHA)
    assert table.shape == (num_trials + 1,)
    assert table[0] == 0.0
    assert (np.diff(table) >= 0).all()
    assert (table[1:] < np.arange(1, num_trials + 1) / num_trials).all()


def test_table_turns_a_dent_downwards(monkeypatch):
    real = bounds.special.betaincinv

    def dented(a, b, y):
        value = real(a, b, y)
        value[49] += 0.05
        return value

    bounds.lower_bounds.cache_clear()
    honest = bounds.lower_bounds(100, ALPHA)
    bounds.lower_bounds.cache_clear()
    monkeypatch.setattr(bounds.special, "betaincinv", dented)
    guarded = bounds.lower_bounds(100, ALPHA)
    bounds.lower_bounds.cache_clear()
    assert (np.diff(guarded) >= 0).all()
    # The dented entry falls to its neighbour; every other one is untouched.
    assert guarded[50] == honest[51]
    np.testing.assert_array_equal(np.delete(guarded, 50), np.delete(honest, 50))


def test_the_bound_covers_exactly():
    # P(bound > p) summed over all outcomes, for true p: never above alpha.
    num_trials, alpha = 60, 0.05
    table = bounds.lower_bounds(num_trials, alpha)
    worst = 0.0
    for p in np.linspace(0.01, 0.99, 197):
        wrong = stats.binom.pmf(np.arange(num_trials + 1), num_trials, p)[table > p]
        worst = max(worst, wrong.sum())
    assert 0.03 < worst <= alpha


@pytest.mark.parametrize(
    ("num_trials", "expected"),
    [(10, 10), (100, 66), (1000, 550), (10_000, 5_156), (100_000, 50_490)],
)
def test_votes_needed(num_trials, expected):
    plan = VotePlan(100, num_trials, ALPHA, ClopperPearson())
    assert reach(gaussian(1.0), plan).votes_needed == expected


def test_nine_votes_can_only_abstain():
    with pytest.raises(ValueError, match=r"only abstain.*\n?.*at least 10"):
        reach(gaussian(1.0), VotePlan(100, 9, ALPHA, ClopperPearson()))


@pytest.mark.parametrize(
    ("num_trials", "alpha", "expected", "tolerance"),
    [
        (100, 1e-3, 1.500475, 1e-6),
        (1000, 1e-3, 2.463263, 1e-6),
        (10_000, 1e-3, 3.1986, 5e-5),
        (100_000, 1e-3, 3.811457, 1e-6),
        (1_000_000, 1e-3, 4.3468, 5e-5),
        (100_000, 1e-2, 3.9105, 5e-5),
    ],
)
def test_max_radius_known_values(num_trials, alpha, expected, tolerance):
    assert abs(bounds.max_radius(1.0, num_trials, alpha) - expected) <= tolerance


@pytest.mark.parametrize(("sigma", "num_trials"), [(0.25, 1000), (2.0, 100_000)])
def test_max_radius_is_the_normal_quantile_of_the_beta_quantile(sigma, num_trials):
    judge = sigma * stats.norm.ppf(stats.beta.ppf(ALPHA, num_trials, 1))
    ours = bounds.max_radius(sigma, num_trials, ALPHA)
    np.testing.assert_allclose(ours, judge, rtol=1e-9)


def test_max_radius_of_a_vote_that_can_only_abstain_is_zero():
    assert bounds.max_radius(0.25, 9, ALPHA) == 0.0
    assert bounds.max_radius(0.25, 10, ALPHA) > 0.0


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.5, 19), (1, 40), (2, 301), (3, 5_114), (3.5, 29_691)]
)
def test_num_for_radius(ratio, expected):
    sigma = 0.25
    assert bounds.num_for_radius(ratio * sigma, sigma, ALPHA) == expected
    assert bounds.max_radius(sigma, expected, ALPHA) >= ratio * sigma
    assert bounds.max_radius(sigma, expected - 1, ALPHA) < ratio * sigma


def test_top_two_needs_eleven_unanimous_votes():
    assert bounds.top_two_p_value(11, 0) <= ALPHA < bounds.top_two_p_value(10, 0)
    assert bounds.top_two_p_value(0, 0) == 1.0
    assert bounds.top_two_p_value(30, 30) == pytest.approx(1.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: bounds.clopper_pearson_lower(101, 100, ALPHA),
        lambda: bounds.clopper_pearson_lower(-1, 100, ALPHA),
        lambda: bounds.lower_bounds(0, ALPHA),
        lambda: bounds.lower_bounds(100, 0.0),
        lambda: bounds.lower_bounds(100, 1.0),
        lambda: bounds.lower_bounds(100, float("nan")),
        lambda: bounds.max_radius(0.0, 100, ALPHA),
        lambda: bounds.num_for_radius(-1.0, 0.25, ALPHA),
        lambda: bounds.num_for_radius(100.0, 0.25, ALPHA),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()
