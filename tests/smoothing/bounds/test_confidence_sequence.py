import itertools

import numpy as np
import pytest
from scipy import integrate, stats

from advjax.smoothing import gaussian
from advjax.smoothing.bounds import clopper_pearson as bounds
from advjax.smoothing.bounds import confidence_sequence
from advjax.smoothing.bounds.confidence_sequence import (
    Bracket,
    is_settled,
    looks,
    narrow,
    sequential_lower,
    sequential_upper,
)

ALPHA = 1e-3
NOISE = gaussian(1.0)
"""Radii are in units of sigma here."""


def above(num_successes, num_trials, p):
    return confidence_sequence._log_evidence_above(num_successes, num_trials)(p)


def overall(num_successes, num_trials, p):
    return confidence_sequence._log_evidence(num_successes, num_trials)(p)


def quadrature(num_successes, num_trials, p, least):
    """The averaged likelihood ratio, spelled out: q from Beta(1, 1/4) above `least`."""
    failures = num_trials - num_successes

    def ratio(root):
        # 1 - q = root^4 removes the prior's singularity at q = 1.
        q = 1.0 - root**4
        return (q / p) ** num_successes * ((1.0 - q) / (1.0 - p)) ** failures

    highest = (1.0 - least) ** 0.25
    return integrate.quad(ratio, 0.0, highest, limit=400)[0] / highest


@pytest.mark.parametrize("counts", [(0, 1), (5, 5), (17, 20), (95, 100), (40, 100)])
@pytest.mark.parametrize("p", [0.3, 0.8413, 0.99])
def test_the_evidence_is_the_averaged_likelihood_ratio(counts, p):
    for evidence, least in ((above, p), (overall, 0.0)):
        judge = np.log(quadrature(*counts, p, least=least))
        np.testing.assert_allclose(evidence(*counts, p), judge, atol=1e-7)


@pytest.mark.parametrize("num_trials", [1, 4, 9])
@pytest.mark.parametrize("p", [0.5, 0.9])
def test_the_evidence_is_one_on_average_and_less_below(num_trials, p):
    def mean(evidence, truth):
        # Every sequence of votes.
        total = 0.0
        for votes in itertools.product((0, 1), repeat=num_trials):
            s = sum(votes)
            chance = truth**s * (1 - truth) ** (num_trials - s)
            total += chance * np.exp(evidence(s, num_trials, p))
        return total

    assert mean(overall, p) == pytest.approx(1.0, rel=1e-12)
    assert mean(above, p) == pytest.approx(1.0, rel=1e-12)
    assert mean(above, 0.9 * p) < 1.0 < mean(above, 1.05 * p)


def test_the_evidence_never_grows_on_average_from_any_point_on():
    for s, n, p in itertools.product((0, 3, 7), (7, 12), (0.3, 0.6, 0.95)):
        now = np.exp(above(s, n, p))
        more = np.exp(above(np.array([s + 1, s]), n + 1, p))
        assert p * more[0] + (1 - p) * more[1] == pytest.approx(now, rel=1e-10)


@pytest.mark.parametrize("counts", [(20, 20), (19, 20), (300, 400), (995, 1000)])
def test_the_bounds_are_the_edges_of_a_fine_grid(counts):
    grid = np.linspace(0.0, 1.0, 200_001)[1:-1]
    with np.errstate(divide="ignore"):  # no evidence at all is a log of 0
        evidence = above(*counts, grid)
    below = grid[evidence < np.log(1 / ALPHA)]
    np.testing.assert_allclose(
        sequential_lower(*counts, ALPHA), below.min(), rtol=0, atol=1e-5
    )
    # The set is an interval: no p under the bound is left standing.
    assert (np.diff(below) < 1.5e-5).all()
    kept = grid[
        (overall(*counts, grid) < np.log(1 / ALPHA)) | (grid <= counts[0] / counts[1])
    ]
    np.testing.assert_allclose(
        sequential_upper(*counts, ALPHA), kept.max(), rtol=0, atol=1e-5
    )


@pytest.mark.parametrize("num_trials", [40, 1000, 10_000])
def test_a_unanimous_vote_proves_the_root_of_its_closed_form(num_trials, monkeypatch):
    # With a flat prior the average of (q / p)^n over q in (p, 1) is a geometric sum.
    monkeypatch.setattr(confidence_sequence, "_PRIOR", 1.0)
    p = float(sequential_lower(num_trials, num_trials, ALPHA))
    average = sum(p**-k for k in range(num_trials + 1)) / (num_trials + 1)
    assert average == pytest.approx(1 / ALPHA, rel=1e-9)


def test_votes_for_raise_both_bounds_and_votes_against_lower_them():
    num_trials, s = np.meshgrid(np.arange(1, 60), np.arange(60))
    n, s = num_trials[s <= num_trials], s[s <= num_trials]
    for bound in (sequential_lower, sequential_upper):
        now = bound(s, n, 0.05)
        assert (bound(s + 1, n + 1, 0.05) >= now).all()
        assert (bound(s, n + 1, 0.05) <= now).all()
        assert (bound(s, n, 0.01) <= now).all() == (bound is sequential_lower)
    assert (sequential_lower(s, n, 0.05) <= s / n).all()
    assert (sequential_upper(s, n, 0.05) >= s / n).all()


def test_a_bound_at_any_time_costs_little_over_one_at_a_fixed_time():
    counts = np.array([10_000, 9_990, 9_000])
    fixed = bounds.clopper_pearson_lower(counts, 10_000, ALPHA)
    anytime = sequential_lower(counts, 10_000, ALPHA)
    assert (anytime < fixed).all()
    pairs = zip(fixed.tolist(), anytime.tolist(), strict=True)
    lost = [NOISE.radius(a) - NOISE.radius(b) for a, b in pairs]
    assert lost[0] < 0.025
    assert max(lost) < 0.07


@pytest.mark.parametrize(
    "call",
    [
        lambda: sequential_lower(6, 5, ALPHA),
        lambda: sequential_upper(-1, 5, ALPHA),
        lambda: sequential_lower(1, 5, 0.0),
        lambda: sequential_lower(1, 5, 1.0),
    ],
)
def test_impossible_arguments_are_refused(call):
    with pytest.raises(ValueError):
        call()


def test_looks_grow_by_an_eighth_and_end_at_the_last_vote():
    found = looks(20, 10_000)
    assert found[:9].tolist() == [20, 40, 60, 80, 100, 120, 140, 160, 180]
    assert found[-1] == 10_000
    assert (np.diff(found)[:-1] % 20 == 0).all()
    assert (np.diff(found)[8:] <= found[8:-1] / 8).all()
    assert looks(20, 7).tolist() == [7]


def test_a_bracket_keeps_the_best_look_and_what_is_left_to_reach():
    options = {"num_estimation": 1000, "alpha": ALPHA}
    first = narrow(Bracket(), 300, 300, **options)
    assert first.lower == sequential_lower(300, 300, ALPHA)
    assert first.ceiling == sequential_lower(1000, 1000, ALPHA)
    worse = narrow(first, 300, 500, **options)
    assert worse.lower == first.lower > sequential_lower(300, 500, ALPHA)
    assert worse.ceiling < first.lower
    last = narrow(first, 990, 1000, **options)
    assert last.ceiling == last.lower


@pytest.mark.parametrize(
    ("lower", "ceiling", "radii", "expected"),
    [
        (0.30, 0.49, (1.0,), True),
        (0.30, 0.51, (1.0,), False),
        (0.30, 0.51, (), False),
        (0.51, 0.99, (), True),
        (0.51, 0.84, (1.0,), True),
        (0.51, 0.85, (1.0,), False),
        (0.842, 0.97, (0.5, 1.0, 2.0), True),
        (0.842, 0.98, (0.5, 1.0, 2.0), False),
        (0.6, 0.6, (0.1, 0.2, 0.3, 3.0), True),
    ],
)
def test_settled_is_when_each_radius_is_on_one_side(lower, ceiling, radii, expected):
    assert is_settled(Bracket(lower, ceiling), NOISE, radii) == expected


def stopped(true_radius, radii, *, num, num_estimation=10_000, alpha=ALPHA, seed=0):
    """Votes and final brackets of simulated examples `true_radius` sigma deep."""
    truth = stats.norm.cdf(true_radius)
    rng = np.random.default_rng(seed)
    votes, drawn, bracket = np.zeros(num, np.int64), 0, Bracket()
    end, final = np.full(num, num_estimation), None
    running = np.ones(num, bool)
    for upto in looks(20, num_estimation).tolist():
        votes, drawn = votes + rng.binomial(upto - drawn, truth, num), upto
        new = narrow(bracket, votes, drawn, num_estimation=num_estimation, alpha=alpha)
        # Of those that have stopped, what they stopped with.
        bracket = Bracket(
            *(np.where(running, n, b) for n, b in zip(new, bracket, strict=True))
        )
        final = bracket
        for i in np.flatnonzero(running):
            if is_settled(Bracket(bracket.lower[i], bracket.ceiling[i]), NOISE, radii):
                running[i], end[i] = False, upto
        if not running.any():
            break
    assert not running.any()
    return end, final


@pytest.mark.parametrize(("true_radius", "most"), [(3.5, 150), (1.5, 500)])
def test_few_votes_decide_one_sigma(true_radius, most):
    end, bracket = stopped(true_radius, (1.0,), num=500)
    assert end.mean() <= most
    assert (bracket.lower >= stats.norm.cdf(1.0)).mean() > 0.98


def test_a_radius_out_of_reach_is_given_up_soon():
    end, bracket = stopped(0.5, (1.0,), num=300)
    assert end.mean() <= 200
    assert (bracket.lower < stats.norm.cdf(1.0)).all()


def p_value(num_wrong, num, alpha):
    """One-sided: how likely so many wrong statements are at a rate of alpha."""
    return stats.binomtest(num_wrong, num, alpha, alternative="greater").pvalue


@pytest.mark.parametrize(
    ("alpha", "true_radius"), [(0.05, 0.5), (0.05, 2.0), (0.01, 1.0)]
)
def test_no_stopping_time_is_wrong_more_than_alpha_of_the_time(alpha, true_radius):
    """Looked at after every tile of 20, and stopped at the worst moment of all."""
    num, truth = 5_000, stats.norm.cdf(true_radius)
    rng = np.random.default_rng(1)
    steps = rng.binomial(20, truth, (num, 150))
    votes, drawn = steps.cumsum(axis=1), 20 * np.arange(1, 151)
    # The lower bound exceeds the truth where the evidence against the truth is in.
    evidence = above(votes, np.broadcast_to(drawn, votes.shape), truth)
    wrong = (evidence >= -np.log(alpha)).any(axis=1)
    assert p_value(int(wrong.sum()), num, alpha) > 1e-4
    assert wrong.sum() > 0.2 * alpha * num
    # The judge can reject: a bound for a fixed time fails when it is looked at often.
    fixed = np.stack(
        [
            bounds.lower_bounds(n, alpha)[votes[:, i]]
            for i, n in enumerate(drawn.tolist())
        ]
    )
    assert p_value(int((fixed > truth).any(axis=0).sum()), num, alpha) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("true_radius", [0.3, 0.95, 1.5, 2.5])
def test_certificates_of_the_stopping_rule_are_wrong_at_most_alpha(true_radius):
    alpha, num = 0.02, 5_000
    radii = tuple(np.linspace(0.25, 3.0, 12))
    end, bracket = stopped(
        true_radius, radii, num=num, num_estimation=2_000, alpha=alpha
    )
    wrong = int((bracket.lower > stats.norm.cdf(true_radius)).sum())
    assert p_value(wrong, num, alpha) > 1e-4
    assert len(np.unique(end)) > 3


@pytest.mark.slow
@pytest.mark.parametrize("true_radius", [1.1, 1.5, 2.0])
def test_stopping_for_futility_loses_few_certificates(true_radius, monkeypatch):
    _, hasty = stopped(true_radius, (1.0,), num=5_000)
    monkeypatch.setattr(confidence_sequence, "FUTILITY_ALPHA", 1e-12)
    _, patient = stopped(true_radius, (1.0,), num=5_000)
    reached = [(b.lower >= stats.norm.cdf(1.0)).mean() for b in (hasty, patient)]
    assert 0.0 <= reached[1] - reached[0] < 0.01
