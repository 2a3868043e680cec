"""Evaluation of a classifier on many examples: one program, one row per example.

The randomness of an example follows from its id. So rows do not depend on their order,
on the other examples, or on interruptions.
"""

from advjax.evaluation.attack import (
    Attacked,
    AttackResume,
    attack_points,
    judge_pcm16,
)
from advjax.evaluation.certify import CertifyResume, certify_points
from advjax.evaluation.clean import clean_accuracy, logits_of_batch, stage_features
from advjax.evaluation.points import Point, example_key, stacked

__all__ = [
    "AttackResume",
    "Attacked",
    "CertifyResume",
    "Point",
    "attack_points",
    "certify_points",
    "clean_accuracy",
    "example_key",
    "judge_pcm16",
    "logits_of_batch",
    "stage_features",
    "stacked",
]
