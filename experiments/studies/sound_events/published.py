"""Entries of Subramanian et al. (2019), for the columns beside ours.

Source: Vinod Subramanian, Emmanouil Benetos, Ning Xu, SKoT McDonald, Mark Sandler,
"Adversarial Attacks in Sound Event Classification", arXiv:1907.02477. Entries as its
tables print them; a mean that disagrees with its own parts is printed as it is, and the
mean of the parts stands beside it.
"""

from collections.abc import Mapping
from typing import NamedTuple

NAME = "Subramanian et al. 2019"
CORPUS = "fsdkaggle2018"
NUM_CLIPS = 246
"""Attacked without a target: six training clips of each of 41 classes."""
NETWORKS = ("vgg13", "crnn", "gcnn", "dense_mel", "dense_wav")


class Entry(NamedTuple):
    """A row of its tables 2 and 3.

    Attributes:
        success: in percent.
        new: mean probability of the new label on the adversarial clips.
        gt_new: that of the clean label on them.
        snr_db: mean ratio of the clips to the perturbations.
        gt: mean probability of the clean label on the clips, of table 3 alone.
    """

    success: float
    new: float
    gt_new: float
    snr_db: float
    gt: float | None = None


ACCURACY: Mapping[str, tuple[float, float]] = {
    "vgg13": (0.9714, 0.8093),
    "crnn": (0.9768, 0.8437),
    "gcnn": (0.9803, 0.8437),
    "dense_mel": (0.9876, 0.89875),
    "dense_wav": (0.9698, 0.86125),
}
"""Of the networks on training and test clips, its table 1."""

TOGETHER: Mapping[str, Entry] = {
    "noise": Entry(21.14, 0.3709, 0.1581, 20.00),
    "fgsm": Entry(31.14, 0.3073, 0.0984, 19.99),
    "deepfool": Entry(99.99, 0.3502, 0.2476, 41.81),
    "carlini_wagner": Entry(99.51, 0.7103, 0.0189, 46.23),
}
"""All networks under each attack, its table 2."""

EACH: Mapping[tuple[str, str], Entry] = {
    ("deepfool", "vgg13"): Entry(100, 0.2190, 0.1681, 52.47, 0.6852),
    ("deepfool", "crnn"): Entry(100, 0.2913, 0.2181, 49.40, 0.7434),
    ("deepfool", "gcnn"): Entry(100, 0.2340, 0.1750, 50.97, 0.7173),
    ("deepfool", "dense_mel"): Entry(99.6, 0.4982, 0.3628, 55.42, 0.9522),
    ("deepfool", "dense_wav"): Entry(100, 0.5180, 0.3148, 41.81, 0.9426),
    ("carlini_wagner", "vgg13"): Entry(100, 0.5876, 0.0208, 52.10, 0.6852),
    ("carlini_wagner", "crnn"): Entry(100, 0.6026, 0.0213, 50.64, 0.7434),
    ("carlini_wagner", "gcnn"): Entry(100, 0.5908, 0.0207, 51.32, 0.7173),
    ("carlini_wagner", "dense_mel"): Entry(99.60, 0.9216, 0.0119, 55.67, 0.9523),
    ("carlini_wagner", "dense_wav"): Entry(97.97, 0.8932, 0.0199, 45.62, 0.9426),
}
"""By attack and network, its table 3."""

PAIR_CLASSES = (
    *("Bass_drum", "Cello", "Clarinet", "Oboe", "Snare_drum", "Violin_or_fiddle"),
)
"""Labels and targets of its targeted attacks."""

Snrs = tuple[tuple[float | None, ...], ...]
PAIRS: Mapping[str, Snrs] = {
    "carlini_wagner_targeted": (
        (None, 109.0, 104.9, 105.9, 102.3, 105.9),
        (105.8, None, 108.4, 105.9, 107.4, 106.6),
        (108.3, 108.9, None, 106.5, 109.1, 107.6),
        (100.2, 102.4, 102.3, None, 100.6, 104.8),
        (93.2, 94.4, 93.0, 95.4, None, 95.1),
        (97.2, 100.5, 98.8, 101.1, 98.2, None),
    ),
    "lbfgs_targeted": (
        (None, 60.8, 59.7, 59.9, 60.9, 61.7),
        (55.4, None, 55.8, 54.3, 56.0, 57.0),
        (57.3, 56.7, None, 57.6, 57.8, 58.1),
        (54.5, 54.8, 55.4, None, 54.6, 55.4),
        (52.1, 52.2, 50.3, 50.1, None, 51.7),
        (56.0, 58.6, 57.8, 57.6, 56.7, None),
    ),
}
"""Mean SNR in dB from the row's class to the column's, its tables 4(a) and 4(b).

Those of Carlini and Wagner's attack are very probably inflated by a slip in the code,
the square of the mean in place of the mean of squares.
"""

TRANSFER: Mapping[str, tuple[float | None, ...]] = {
    "vgg13": (None, 5.69, 9.96, 1.02, 3.05),
    "crnn": (5.89, None, 6.71, 0.81, 2.03),
    "gcnn": (6.30, 4.88, None, 1.63, 2.85),
    "dense_mel": (0.20, 0.41, 0.41, None, 0.61),
    "dense_wav": (0, 0, 0, 0.20, None),
}
"""Percent of examples, by the network tested; columns: the network made on, in the
order of `NETWORKS`. Its table 5."""
