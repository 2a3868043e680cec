"""Times of cells: extrapolated at CPU size, and bounds of the publication's.

Those of the CPU size are core-seconds at 600 training steps: cells of each kind were
measured on STFT, mostly at 300 steps and on narrower networks, and scaled by steps and
passes; DWT||Tonnetz has 1.7 times the entries, and an adversarial training 2.1 times
the passes. Two starts, each with a core, halve the sum.

The publication's sizes have run on no accelerator. Their times are those of the
rehearsal's roofline (`experiments/results/rehearsal`): the training, and each attack at
its most passes over its most clips. A real device is slower, and attacks stop early.
"""

from collections.abc import Mapping

from experiments.lab.grid import Cost
from experiments.studies.rooflines import IMAGE_NETWORKS, MACHINE

BATCH = 32
NUM_STEPS = 20_000
NUM_CLIPS = 200
# Passes with a gradient that a clip takes at most: budgets x steps, saliency maps,
# steps x classes, searches x steps. A query of PIA is a third of such a pass.
EARLY_PASSES = 24 * 1 + 24 * 10 + 20_000 + 50 * 10 + 9 * 1_000
UNTARGETED_PASSES = EARLY_PASSES - 50 * 10
PIA_PASSES = 5 * 100_000 / 3


def _bound(network: str, passes: float, *, trains: bool) -> Cost:
    """The least time of a cell of the publication's size, at its most passes."""
    steps_s, gib = IMAGE_NETWORKS[network]
    seconds = NUM_CLIPS * passes / (BATCH * steps_s)
    if trains:
        seconds += NUM_STEPS / steps_s
    return Cost(seconds, MACHINE, gib)


PUBLICATION: Mapping[str, Cost] = {
    pattern.format(network): _bound(network, passes, trains=trains)
    for pattern, passes, trains in (
        ("pia/*/{}/*", PIA_PASSES, False),
        ("untargeted/*/{}/*", UNTARGETED_PASSES, False),
        ("*/{}/*", EARLY_PASSES, True),
    )
    for network in IMAGE_NETWORKS
}
CORE = "one core of an Intel Xeon with AMX, at 600 steps"
SMALL: Mapping[str, Cost] = {
    pattern: Cost(seconds, CORE, 1.5)
    for pattern, seconds in {
        "curve/*": 190,
        "resolution/*": 940,
        "alpha/*": 250,
        "untargeted/*": 130,
        "pia/esc10/*": 200,
        "pia/urbansound8k/*": 550,
        "esc10/stft/alexnet/*": 230,
        "esc10/stft/resnet18/*": 290,
        "esc10/dwt_tonnetz/alexnet/*": 390,
        "esc10/dwt_tonnetz/resnet18/*": 490,
        "esc10/*/resnet56/*": 790,
        "urbansound8k/*/resnet56/*": 1200,
        "urbansound8k/stft/*": 450,
        "urbansound8k/dwt_tonnetz/*": 700,
    }.items()
}
COSTS: Mapping[str, Mapping[str, Cost]] = {
    "small": SMALL,
    "publication": PUBLICATION,
}
