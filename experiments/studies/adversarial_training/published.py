"""Entries of Sallo et al. (2020), for the columns beside ours.

Source: Sallo, Esmaeilpour and Cardinal, "Adversarially Training for Audio Classifiers",
arXiv:2008.11618, tables of its slides. Percent, and ratios.
"""

from typing import NamedTuple

NAME = "Sallo et al. 2020"
NETWORKS = ("googlenet", "alexnet", "resnet18", "resnet34", "resnet56", "vgg16")
"""The columns of each table."""

Key = tuple[str, str]
"""A corpus and a representation."""

ACCURACY_AND_BRACKET: dict[Key, tuple[tuple[float, float], ...]] = {
    ("esc50", "stft"): (
        *((67.83, 6.89), (64.32, 10.91), (66.85, 12.13)),
        *((67.21, 14.43), (69.77, 9.29), (68.94, 8.32)),
    ),
    ("esc50", "dwt"): (
        *((70.42, 8.42), (65.39, 11.23), (67.06, 15.71)),
        *((67.55, 18.76), (71.56, 11.09), (71.43, 16.28)),
    ),
    ("esc50", "stft_tonnetz"): (
        *((70.11, 24.09), (64.21, 23.76), (67.62, 19.48)),
        *((66.75, 23.31), (70.22, 25.19), (70.18, 23.68)),
    ),
    ("esc50", "dwt_tonnetz"): (
        *((68.76, 19.07), (68.31, 18.53), (68.49, 24.27)),
        *((67.15, 21.56), (71.79, 18.21), (68.37, 18.73)),
    ),
    ("urbansound8k", "stft"): (
        *((88.32, 10.35), (86.07, 21.43), (88.24, 14.94)),
        *((88.61, 9.19), (88.77, 23.06), (87.93, 14.66)),
    ),
    ("urbansound8k", "dwt"): (
        *((90.1, 16.35), (87.51, 19.59), (88.07, 15.08)),
        *((88.38, 19.04), (90.14, 15.49), (90.11, 16.35)),
    ),
    ("urbansound8k", "stft_tonnetz"): (
        *((88.44, 25.77), (86.81, 22.05), (88.13, 17.64)),
        *((88.38, 26.42), (89.41, 20.73), (89.42, 21.38)),
    ),
    ("urbansound8k", "dwt_tonnetz"): (
        *((89.32, 16.83), (87.34, 20.41), (88.76, 29.12)),
        *((89.8, 27.45), (91.36, 26.08), (89.97, 24.56)),
    ),
}
"""Accuracy of plain networks, and a number in brackets that it does not explain.

We take it as the drop by adversarial training, in points: as accuracies, all 48 would
be below a third of the others, and one of ten classes below chance.
"""

FOOLING_RATE: dict[Key, tuple[float, ...]] = {
    ("esc50", "stft"): (53.12, 50.97, 61.13, 65.31, 65.87, 63.05),
    ("esc50", "dwt"): (55.68, 51.03, 62.56, 64.18, 67.26, 64.23),
    ("esc50", "stft_tonnetz"): (56.18, 50.46, 53.1, 68.29, 68.19, 64.82),
    ("esc50", "dwt_tonnetz"): (55.74, 49.33, 58.87, 69.77, 70.42, 66.37),
    ("urbansound8k", "stft"): (56.09, 53.24, 62.06, 65.91, 74.3, 75.35),
    ("urbansound8k", "dwt"): (58.98, 51.92, 63.59, 63.4, 73.86, 74.66),
    ("urbansound8k", "stft_tonnetz"): (65.8, 50.71, 62.75, 64.02, 75.11, 73.39),
    ("urbansound8k", "dwt_tonnetz"): (68.46, 52.23, 60.13, 67.81, 76.38, 75.26),
}
"""Of limited attacks on adversarially trained networks; its limits are not stated."""

PERTURBATION_RATIO: dict[Key, tuple[float, ...]] = {
    ("esc50", "stft"): (1.412, 1.231, 1.897, 2.154, 2.312, 2.107),
    ("esc50", "dwt"): (1.562, 1.309, 1.741, 1.982, 1.976, 2.307),
    ("esc50", "stft_tonnetz"): (1.804, 1.918, 2.003, 2.161, 2.095, 1.674),
    ("esc50", "dwt_tonnetz"): (2.014, 2.336, 1.788, 1.903, 2.609, 2.230),
    ("urbansound8k", "stft"): (1.562, 1.903, 2.439, 1.372, 1.991, 1.703),
    ("urbansound8k", "dwt"): (2.154, 2.287, 2.764, 1.644, 2.892, 1.789),
    ("urbansound8k", "stft_tonnetz"): (2.231, 2.108, 1.981, 2.003, 1.401, 2.308),
    ("urbansound8k", "dwt_tonnetz"): (1.606, 2.199, 2.405, 1.604, 2.501, 1.602),
}
"""Perturbation that attacks need on adversarially trained networks, over plain ones."""

NUM_ENTRIES = 144
"""Of the three tables, the number in brackets counted with its accuracy."""


class Entry(NamedTuple):
    """Its entries on a corpus, a representation and a network."""

    accuracy: float
    drop: float
    fooling_rate: float
    ratio: float


def entry(corpus: str, representation: str, network: str) -> Entry | None:
    """Its entries, if it has this combination."""
    key = (corpus, representation)
    if key not in FOOLING_RATE or network not in NETWORKS:
        return None
    place = NETWORKS.index(network)
    return Entry(
        *ACCURACY_AND_BRACKET[key][place],
        FOOLING_RATE[key][place],
        PERTURBATION_RATIO[key][place],
    )
