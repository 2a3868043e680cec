"""Classifiers over many examples: one compiled program, one row per example.

An example's randomness comes from its id, so that rows do not depend on their order, on
which other examples there are, or on where a run was interrupted.
"""

from advjax.evaluation.attack import Attacked, AttackResume, attack_points
from advjax.evaluation.certify import CertifyResume, certify_points
from advjax.evaluation.clean import clean_accuracy, logits_of_batch, stage_features
from advjax.evaluation.points import Point, example_key

__all__ = [
    "AttackResume",
    "Attacked",
    "CertifyResume",
    "Point",
    "attack_points",
    "certify_points",
    "clean_accuracy",
    "example_key",
    "logits_of_batch",
    "stage_features",
]
