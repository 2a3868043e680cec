"""Measures of attacks and certificates, as pure functions of arrays.

`distortion` and `audibility` measure one adversarial example, with JAX; they are
modules of their own. The functions here take columns of rows, with NumPy.
"""

from advjax.metrics.bootstrap import percentile_interval, resampled_weights
from advjax.metrics.certified import (
    abstain_rate,
    accuracy_curve,
    average_certified_radius,
    certified_accuracy,
    certified_accuracy_lower_bound,
    smoothed_accuracy,
)
from advjax.metrics.clustered import (
    ClusteredMean,
    ClusteredShare,
    Contrast,
    clustered_difference,
    clustered_mean_ratio,
    clustered_ratio,
    clustered_share,
)
from advjax.metrics.robustness import (
    accuracy_under_attack,
    attackable,
    budget_for_auc,
    fooling_rate,
    off_target,
    perturbation_ratio,
    success_rate_auc,
)
from advjax.metrics.shares import Share, share_of
from advjax.metrics.transfer import transfer_share

__all__ = [
    "ClusteredMean",
    "ClusteredShare",
    "Contrast",
    "Share",
    "abstain_rate",
    "accuracy_curve",
    "accuracy_under_attack",
    "attackable",
    "average_certified_radius",
    "budget_for_auc",
    "certified_accuracy",
    "certified_accuracy_lower_bound",
    "clustered_difference",
    "clustered_mean_ratio",
    "clustered_ratio",
    "clustered_share",
    "fooling_rate",
    "off_target",
    "percentile_interval",
    "perturbation_ratio",
    "resampled_weights",
    "share_of",
    "smoothed_accuracy",
    "success_rate_auc",
    "transfer_share",
]
