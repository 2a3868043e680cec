"""Entries of publications beside those of the study.

The tables of Esmaeilpour, Cardinal and Koerich (2019, arXiv:1904.10990) are in no text
that could be read: their claims here are those of the abstract. The networks that they
compare with are those of Boddapati's thesis on classifying sounds by image networks,
whose entries can be read: accuracies of AlexNet and GoogLeNet in %, its tables 10 and
11 (github.com/bkasvenkatesh/Classifying-Environmental-Sounds-with-Image-Networks).
"""

from collections.abc import Mapping

BASELINES: Mapping[tuple[str, str], tuple[float, float]] = {
    ("esc10", "spectrogram"): (85, 90),
    ("esc50", "spectrogram"): (68, 73),
    ("urbansound8k", "spectrogram"): (90, 93),
    ("esc10", "crp"): (28.6, 27.7),
    ("esc50", "crp"): (12.7, 10.1),
}
"""AlexNet and GoogLeNet by corpus and input, the best of his spectrograms."""
ACCURATE = (
    "abstract: performance competitive with deep networks in accuracy, and a good "
    "trade-off between accuracy and resilience"
)
ROBUST = "abstract: competitive in robustness against strong adversarial attacks"
