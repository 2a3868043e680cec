"""Bootstrap intervals beside closed forms."""

import math

import numpy as np
import pytest

from advjax.metrics.bootstrap import percentile_interval, resampled_weights


def test_rows_of_a_group_are_drawn_together_and_weights_sum_to_one():
    weights = resampled_weights(["a", "b", "a", "c"], num_resamples=500)
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    np.testing.assert_array_equal(weights[:, 0], weights[:, 2])
    # A sample of group a alone, thrice, has its two rows and no other.
    alone = weights[(weights[:, 1] == 0) & (weights[:, 3] == 0)]
    assert len(alone) > 0
    np.testing.assert_allclose(alone, [[0.5, 0, 0.5, 0]] * len(alone))


def test_the_deviation_is_that_of_a_mean_over_groups():
    values = np.array([0.0, 0.0, 1.0, 1.0, 4.0, 4.0])
    each = resampled_weights(range(6)) @ values
    pairs = resampled_weights([0, 0, 1, 1, 2, 2]) @ values
    assert each.mean() == pytest.approx(values.mean(), abs=0.03)
    assert each.std() == pytest.approx(values.std() / math.sqrt(6), rel=0.03)
    # Three groups instead of six rows.
    assert pairs.std() == pytest.approx(values.std() / math.sqrt(3), rel=0.03)


def test_draws_depend_on_the_seed_alone():
    first, again = (resampled_weights("abc", num_resamples=9) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert (first != resampled_weights("abc", num_resamples=9, seed=1)).any()


def test_the_interval_leaves_out_equal_tails():
    values = np.random.default_rng(0).permutation(1001) * 1.0
    assert percentile_interval(values) == pytest.approx((25, 975))
    assert percentile_interval(values, level=0.5) == pytest.approx((250, 750))


def test_no_rows_and_impossible_levels_are_refused():
    with pytest.raises(ValueError, match="no rows"):
        resampled_weights([])
    with pytest.raises(ValueError, match="level=1"):
        percentile_interval(np.ones(3), level=1)
