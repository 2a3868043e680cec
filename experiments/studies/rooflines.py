"""Bounds of an H100 in float32 for programs of several studies.

They are those of the rehearsal (`experiments/results/rehearsal`), for batches of 32.
"""

from collections.abc import Mapping

MACHINE = "the roofline of an H100, attacks at their most passes"
"""What a bound of a cell's time stands on."""
IMAGE_NETWORKS: Mapping[str, tuple[float, float]] = {
    "googlenet": (212, 1.15),
    "alexnet": (428, 1.14),
    "resnet18": (192, 0.72),
    "resnet34": (99.4, 1.16),
    "resnet56": (1319, 0.50),
    "vgg16": (23.1, 4.37),
}
"""Training steps a second and GiB of a step, on images of the published size."""
