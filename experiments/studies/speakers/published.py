"""Entries of O'Reilly (2020), for the columns beside ours.

Source: Patrick O'Reilly, "Towards Certified Adversarial Robustness for Audio
Classification", a course project (CS 496), as its page of 10 December 2020 prints it:
`cs496_final/index.md` in the repository oreillyp/oreillyp.github.io. The tables of
images there repeat those of Cohen et al. 2019, arXiv:1902.02918.
"""

from typing import NamedTuple

NAME = "O'Reilly 2020"
NUM_POINTS = 300
NUM_ESTIMATION, ALPHA = 10_000, 1e-3
"""His votes that bound a probability, and the failure probability of a certificate."""

# Certified accuracy by sigma, at the radii of `advjax.reports.tables.PUBLICATION_RADII`
# in units of the stage. A 0 is as printed: beyond the largest radius that 10,000 votes
# can certify. The page has no table of the waveform ("results pending").
MFBE = {
    0.01: (0.98, 0, 0, 0, 0, 0, 0, 0),
    0.05: (0.99, 0.99, 0, 0, 0, 0, 0, 0),
    0.10: (0.99, 0.97, 0.84, 0, 0, 0, 0, 0),
    0.25: (0.91, 0.89, 0.80, 0.63, 0.36, 0, 0, 0),
    0.50: (0.76, 0.75, 0.66, 0.55, 0.42, 0.29, 0.16, 0.08),
}
MAGNITUDE = {
    0.01: (0.93, 0, 0, 0, 0, 0, 0, 0),
    0.05: (0.86, 0.79, 0, 0, 0, 0, 0, 0),
    0.10: (0.73, 0.68, 0.39, 0, 0, 0, 0, 0),
    0.25: (0.36, 0.35, 0.25, 0.11, 0.04, 0, 0, 0),
    0.50: (0.13, 0.13, 0.12, 0.11, 0.09, 0.08, 0.06, 0.04),
}
CERTIFIED = {"mfbe": MFBE, "magnitude": MAGNITUDE}
"""His certified accuracies by stage."""

CIFAR_RADII = (0.25, 0.5, 0.75, 1.0, 1.25, 1.5)
CIFAR = {
    0.12: (0.59, 0, 0, 0, 0, 0),
    0.25: (0.60, 0.43, 0.27, 0, 0, 0),
    0.50: (0.55, 0.41, 0.32, 0.23, 0.15, 0.09),
    1.00: (0.39, 0.34, 0.28, 0.22, 0.17, 0.14),
}
IMAGENET_RADII = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
IMAGENET = {
    0.25: (0.67, 0.49, 0, 0, 0, 0, 0),
    0.50: (0.57, 0.46, 0.38, 0.28, 0, 0, 0),
    1.00: (0.44, 0.38, 0.33, 0.26, 0.19, 0.15, 0.12),
}
COHEN_ESTIMATION = 100_000
"""Votes of Cohen et al. that bound a probability."""

ACCURACY_BY_TRAINING_SIGMA = {
    f"{NAME}, waveform": {None: 0.99, 0.01: 0.89, 0.05: 0.62, 0.10: 0.38, 0.25: 0.17},
    "Cohen et al. 2019, CIFAR-10": {
        **{None: 0.90, 0.12: 0.82, 0.25: 0.75, 0.5: 0.64, 1.0: 0.48}
    },
    "Cohen et al. 2019, ImageNet": {None: 0.75, 0.25: 0.68, 0.5: 0.61, 1.0: 0.48},
}
"""Accuracies of networks trained with noise; None stands for no noise."""


class Comparison(NamedTuple):
    """A row of his comparison of data sets and models.

    Attributes:
        data: the data set.
        num_classes: its classes.
        dimensions: entries of an input: waveform, magnitude and mfbe for speech.
        num_training: training examples.
        num_test: test examples.
        network: the network.
        num_parameters: its weights.
        accuracy: without noise.
    """

    data: str
    num_classes: int
    dimensions: tuple[int, ...]
    num_training: int
    num_test: int
    network: str
    num_parameters: float
    accuracy: float


COMPARISON = (
    Comparison(
        "LibriSpeech train-clean-360, 10 speakers",
        *(10, (25_000, 41_120, 10_240), 30_000, 10_000),
        *("Deep Speaker ResCNN", 24e6, 0.99),
    ),
    Comparison("CIFAR-10", 10, (3_072,), 50_000, 10_000, "ResNet 110", 1.7e6, 0.90),
    Comparison(
        "LibriSpeech train-clean-360",
        *(921, (25_000, 41_120, 10_240), 550_000, 92_100),
        *("Deep Speaker ResCNN", 24e6, 0.96),
    ),
    Comparison(
        "ImageNet",
        *(1_000, (196_608,), 1_200_000, 50_000, "ResNet 50", 25e6, 0.75),
    ),
)
"""His comparison, in its order."""
