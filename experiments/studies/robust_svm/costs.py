"""Times of cells: measured in part at CPU size, and bounds of the publication's.

The publication's sizes have run on no accelerator. Their times are those of the
rehearsal's roofline (`experiments/results/rehearsal`): training, and each attack at its
most passes over its most clips. A real device is slower, and attacks stop early.
"""

from collections.abc import Mapping

from experiments.lab.grid import Cost
from experiments.studies.rooflines import IMAGE_NETWORKS, MACHINE

NUM_STEPS = 20_000
NUM_CLIPS = 40
"""Of a fold, where five are tested."""
NUM_FRONTS = 5
_BATCH = 32
NETWORKS = ("alexnet", "googlenet")
# On an H100 in float32: training steps a second, and GiB of a step.
AUTOENCODER = (24.5, 14.9)
# Images a second through the whole pipeline; a gradient is about three such passes.
PIPELINE = (561, 29.3)
_GRADIENT = 3
# Passes with a gradient that a clip takes at most: budgets x steps of FGSM, BIM-b, PGD
# and C&W, and JSMA's 1 % of 1.2 million entries, each with a gradient for ten classes.
# A query of NES is a third of such a pass.
OF_NETWORK = 5 * 1 + 10 + 5 * 10 + 5 * 10 * 40 + 9 * 1_000 + 120_000 + 10_000 / 3
OF_PIPELINE = OF_NETWORK - 4 * 1 - 4 * 10
OF_OTHER = 1 + 10 + 5 * 10 * 40
OF_STAGE = 10 * 40


def _network(name: str) -> Cost:
    steps_s, gib = IMAGE_NETWORKS[name]
    seconds = NUM_STEPS / steps_s + NUM_CLIPS * OF_NETWORK / (_BATCH * steps_s)
    return Cost(seconds, MACHINE, gib)


def _pipeline(passes: float, *, trainings: int = 1) -> Cost:
    seconds = trainings * NUM_STEPS / AUTOENCODER[0]
    seconds += NUM_CLIPS * passes * _GRADIENT / PIPELINE[0]
    return Cost(seconds, MACHINE, max(AUTOENCODER[1], PIPELINE[1]))


PUBLICATION: Mapping[str, Cost] = {
    "selection/*": Cost(
        NUM_FRONTS * NUM_STEPS / AUTOENCODER[0], MACHINE, AUTOENCODER[1]
    ),
    "*/transfer*": _pipeline(200 / _GRADIENT, trainings=0),
    "*/dwt/surf_svm": _pipeline(OF_PIPELINE),
    "*/dwt/plain_svm": _pipeline(OF_PIPELINE, trainings=0),
    "*/plain_svm": _pipeline(OF_STAGE, trainings=0),
    "*/guarded_alexnet": _pipeline(OF_PIPELINE),
    "*/surf_svm_other": _pipeline(OF_OTHER),
    "*/surf_svm_smoothed": _pipeline(10_000 / _GRADIENT),
    "*/surf_svm*": _pipeline(OF_STAGE),
    **{f"*/{name}*": _network(name) for name in NETWORKS},
}
_LOADED = "2 cores of an Intel Xeon that other programs loaded, extrapolated"
SMALL: Mapping[str, Cost] = {
    pattern: Cost(seconds, _LOADED, 1.6)
    for pattern, seconds in {
        "selection/*": 600,
        "*/transfer*": 60,
        "*/dwt/alexnet": 130,
        "*/dwt/googlenet": 160,
        "*/dwt/plain_svm": 100,
        "*/dwt/surf_svm": 500,
        "*/guarded_alexnet": 250,
        "*/surf_svm_other": 250,
        "*_smoothed": 200,
        "*/dwt/*": 150,
        "*/surf_svm": 120,
        "*": 60,
    }.items()
}
COSTS: Mapping[str, Mapping[str, Cost]] = {
    "small": SMALL,
    "publication": PUBLICATION,
}
