import numpy as np
import pytest
from scipy import stats

from advjax.metrics import Share
from advjax.metrics.clustered import (
    ClusteredMean,
    clustered_difference,
    clustered_mean_ratio,
    clustered_ratio,
    clustered_share,
)


def crops(num_clusters, size, *, correlated, seed=0, share=0.8):
    """Hits of crops, and their clusters: all of one cluster agree if correlated."""
    rng = np.random.default_rng(seed)
    shape = (num_clusters, 1 if correlated else size)
    hits = np.broadcast_to(rng.random(shape) < share, (num_clusters, size)).ravel()
    return hits, [f"u{index // size}" for index in range(len(hits))]


def test_the_value_is_the_mean_of_the_runs():
    first, second = np.array([True, False, True, True]), np.array([True, False] * 2)
    share = clustered_share([first, second], ["b", "a", "b", "a"])
    assert share.total == 4 and share.value == (0.75 + 0.5) / 2


def test_the_interval_of_one_run_is_that_of_scipy():
    hits, clusters = crops(40, 5, correlated=False, share=0.7)
    hits, clusters = hits[:-3], clusters[:-3]  # clusters differ in size
    share = clustered_share([hits], clusters)
    names, places = np.unique(clusters, return_inverse=True)
    judge = stats.bootstrap(
        (np.bincount(places, hits), np.bincount(places)),
        lambda hits, totals, axis: hits.sum(axis) / totals.sum(axis),
        paired=True, method="percentile", vectorized=True, n_resamples=10_000,
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(share.interval(), judge, atol=0.006)
    np.testing.assert_array_less(*share.interval(0.5))
    assert share.interval(0.5)[0] > share.interval(0.95)[0]


def test_crops_that_agree_within_clusters_count_once():
    hits, clusters = crops(60, 5, correlated=True)
    low, high = clustered_share([hits], clusters).interval()
    # As wide as for 60 independent examples, not 300.
    few = Share(int(hits[::5].sum()), 60).interval()
    many = Share(int(hits.sum()), 300).interval()
    assert high - low == pytest.approx(few[1] - few[0], rel=0.15)
    assert high - low > 1.7 * (many[1] - many[0])


def test_networks_that_differ_widen_the_interval():
    hits, clusters = crops(60, 5, correlated=False)
    worse = hits & (np.arange(len(hits)) % 4 > 0)
    both = clustered_share([hits, worse, hits], clusters)
    low, high = both.interval()
    same_low, same_high = clustered_share([hits] * 3, clusters).interval()
    assert high - low > 1.5 * (same_high - same_low)
    assert low < both.value < high
    # Equal networks leave the spread of the clusters alone.
    alone = clustered_share([hits], clusters).interval()
    np.testing.assert_allclose((same_low, same_high), alone)


def test_examples_that_all_agree_have_the_interval_of_as_many_clusters():
    clusters = [f"u{index // 5}" for index in range(50)]
    every = clustered_share([np.full(50, True)] * 2, clusters)
    none = clustered_share([np.full(50, False)], clusters)
    assert every.interval() == pytest.approx(Share(10, 10).interval())
    assert none.interval() == pytest.approx(Share(0, 10).interval())
    # One cluster of both kinds says nothing.
    one = clustered_share([np.arange(5) > 2], ["u"] * 5)
    assert one.interval() == (0.0, 1.0)


def test_it_covers_a_clustered_truth_and_independence_does_not():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(70), 4).astype(str).tolist()
    covered = []
    for _ in range(100):
        truth = np.repeat(rng.beta(0.8, 0.2, 70), 4)  # mean 0.8, correlation 0.5
        share = clustered_share([rng.random(280) < truth], clusters)
        ends = share.interval(), Share(int(share.hits.sum()), 280).interval()
        covered.append([low <= 0.8 <= high for low, high in ends])
    by_cluster, independent = np.mean(covered, axis=0)
    assert by_cluster >= 0.88 > 0.85 > independent


def test_impossible_arguments_are_refused():
    hits = np.array([True, False])
    with pytest.raises(ValueError, match="for each of 3 examples"):
        clustered_share([hits], ["a", "b", "c"])
    with pytest.raises(ValueError, match="give runs"):
        clustered_share([], ["a"])
    with pytest.raises(ValueError, match="an interval needs"):
        clustered_share([hits], ["a", "b"]).interval(1.0)
    empty = clustered_share([hits[:0]], [])
    assert np.isnan(empty.value)
    with pytest.raises(ValueError, match="an interval needs"):
        empty.interval()


def test_the_mean_of_one_stratum_is_the_share_of_its_hits():
    hits, clusters = crops(40, 5, correlated=False)
    mean = ClusteredMean(hits.astype(float), clusters)
    share = clustered_share([hits], clusters)
    assert mean.value == pytest.approx(share.value)
    np.testing.assert_allclose(mean.interval(), share.interval(), atol=0.01)


def test_strata_count_alike_whatever_their_size():
    mean = ClusteredMean(
        np.array([1.0, 1.0, 1.0, 0.0]), list("aabb"), ["fgsm"] * 3 + ["pia"]
    )
    assert mean.value == 0.5
    # In samples without the cluster b, the mean is that of the stratum that is left.
    assert mean.interval() == (0.5, 1.0)


def test_a_difference_on_the_same_examples_is_paired():
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(50), 3).astype(str).tolist()
    hard = np.repeat(rng.random(50), 3)  # of a clip, for both networks
    first, second = hard + 0.1 + 0.01 * rng.random(150), hard
    found = clustered_difference(
        ClusteredMean(first, clusters), ClusteredMean(second, clusters)
    )
    assert found.value == pytest.approx((first - second).mean())
    assert found.num_clusters == 50
    judge = stats.bootstrap(
        ((first - second).reshape(50, 3).mean(axis=1),), np.mean, method="percentile",
        rng=np.random.default_rng(1),
    ).confidence_interval  # fmt: skip
    np.testing.assert_allclose(found[1:3], judge, atol=2e-4)
    # Resampled apart, the two means would hide the difference.
    ends = [ClusteredMean(each, clusters).interval() for each in (first, second)]
    assert ends[0][0] < ends[1][1]


def test_a_difference_may_be_of_other_examples_of_the_clusters():
    found = clustered_difference(
        ClusteredMean(np.ones(20), [f"u{i}" for i in range(20)]),
        ClusteredMean(np.zeros(12), [f"u{i}" for i in range(12, 24)]),
    )
    assert found == (1.0, 1.0, 1.0, 24)


def test_a_ratio_is_that_of_the_means():
    values, clusters = np.arange(1.0, 31.0), [f"u{i % 10}" for i in range(30)]
    plain = ClusteredMean(values, clusters)
    found = clustered_ratio(ClusteredMean(3 * values, clusters), plain)
    np.testing.assert_allclose(found[:3], 3.0)
    none = clustered_ratio(plain, ClusteredMean(np.zeros(30), clusters))
    assert none.value == np.inf and np.isnan(none.low)


def test_the_mean_of_ratios_counts_pairs_alike():
    plain = ClusteredMean(np.ones(10), [f"u{i}" for i in range(10)])
    twice = ClusteredMean(np.full(10, 2.0), [f"u{i}" for i in range(10)])
    rare = ClusteredMean(np.array([8.0]), ["u3"])
    assert clustered_mean_ratio([(twice, plain), (plain, plain)])[:3] == (1.5, 1.5, 1.5)
    # Samples without u3 have the first pair alone.
    found = clustered_mean_ratio([(twice, plain), (rare, plain)])
    assert found[:3] == (5.0, 2.0, 5.0) and found.num_clusters == 10
    with pytest.raises(ValueError, match="a mean has none"):
        clustered_mean_ratio([])


def test_means_without_examples_have_no_interval():
    empty = ClusteredMean(np.zeros(0), [])
    assert np.isnan(empty.value)
    with pytest.raises(ValueError, match="a mean has none"):
        empty.interval()
    with pytest.raises(ValueError, match="a mean has none"):
        clustered_difference(empty, ClusteredMean(np.ones(1), ["a"]))
