"""Times of cells: measured at CPU size, and bounds of the publication's.

The publication's sizes have run on no accelerator. Their times are those of the
rehearsal's roofline (`experiments/results/rehearsal`): the training, and each attack at
its most passes. A real device is slower, and attacks stop early.
"""

from collections.abc import Mapping

from experiments.lab.grid import Cost
from experiments.studies.rooflines import MACHINE

BATCH = 256
NUM_STEPS = 6_240
NUM_CLIPS, NUM_PAIRS = 246, 180
CHUNKS = 4
"""Of 2.048 s in a clip of FSDKaggle2018: 9,473 clips last 18 hours, about."""
# Training steps a second and GiB of a step of each network, on an H100 in float32.
REHEARSED: Mapping[str, tuple[float, float]] = {
    "vgg13": (26.0, 3.42),
    "crnn": (25.8, 3.52),
    "gcnn": (13.0, 7.36),
    "dense_mel": (60.4, 6.40),
    "dense_wav": (22.5, 18.19),
    "constant_q": (26.0, 3.42),  # VGG13
}
# Clips, and passes with a gradient that each takes at most: steps x classes, searches
# x steps. Cells that are not here predict.
ATTACKS: Mapping[str, tuple[int, int]] = {
    "noise": (NUM_CLIPS, 1),
    "fgsm": (NUM_CLIPS, 2),
    "deepfool": (NUM_CLIPS, 200 * 40),
    "carlini_wagner": (NUM_CLIPS, 2 * 1000),
    "carlini_wagner_targeted": (NUM_PAIRS, 2 * 1000),
    "lbfgs_targeted": (NUM_PAIRS, 2 * 200),
    "features": (NUM_CLIPS, 3 * 100),
    # Passes of all networks' examples, and of 20 transforms of its own.
    "answers": (NUM_CLIPS, 60),
}


def _bound(network: str, clips: int, passes: int, *, steps: int = 0) -> Cost:
    """The least time of a cell of the publication's size."""
    steps_s, gib = REHEARSED[network]
    # Mixtures of a batch are half as many: a step of 52 a second for VGG13.
    seconds = (steps / 2 + clips * passes * CHUNKS / BATCH) / steps_s
    return Cost(seconds, MACHINE, gib)


PUBLICATION: Mapping[str, Cost] = {
    **{
        f"{network}/clean": _bound(network, 11_000, 1, steps=NUM_STEPS)
        for network in REHEARSED
    },
    **{
        f"{network}/{attack}": _bound(network, *work)
        for network in REHEARSED
        for attack, work in ATTACKS.items()
    },
    "*": Cost(600, "a few CPU cores", 4.0),
}

# Seconds of a pass with a gradient over a clip of ESC-10, of a quarter of the channels,
# and of a training: measured of two networks, between which the others are taken to be.
MEASURED: Mapping[str, tuple[float, float]] = {
    "vgg13": (0.028, 150.0),
    "dense_mel": (0.070, 250.0),
}
BETWEEN = (0.05, 200.0)
# Passes of all clips of the preset "small"; DeepFool's as VGG13 and dense-mel took.
SMALL_PASSES: Mapping[str, int] = {
    "noise": 30,
    "fgsm": 60,
    "deepfool": 5_000,
    "carlini_wagner": 30 * 2_000,
    "carlini_wagner_targeted": 30 * 2_000,
    "lbfgs_targeted": 30 * 400,
    "features": 30 * 300,
    "answers": 5_000,
}
_CORE = "one core of an Intel Xeon with AMX (VGG13 and dense-mel)"


def _small(network: str, passes: int, *, trains: bool = False) -> Cost:
    pass_s, training_s = MEASURED.get(network, BETWEEN)
    # Each cell compiles for about half a minute.
    seconds = 30 + passes * pass_s + training_s * trains
    return Cost(seconds, _CORE, 2.0)


SMALL: Mapping[str, Cost] = {
    **{f"{n}/clean": _small(n, 250, trains=True) for n in REHEARSED},
    **{
        f"{network}/{attack}": _small(network, passes)
        for network in REHEARSED
        for attack, passes in SMALL_PASSES.items()
    },
    "*": Cost(60, _CORE, 2.0),
}
COSTS: Mapping[str, Mapping[str, Cost]] = {"small": SMALL, "publication": PUBLICATION}
