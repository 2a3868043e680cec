"""Titles of corpora, representations and networks in the tables."""

from experiments.studies.image_corpora import TITLES

NAMES = {
    **TITLES,
    "stft": "STFT",
    "dwt": "DWT",
    "stft_tonnetz": "STFT||Tonnetz",
    "dwt_tonnetz": "DWT||Tonnetz",
    "googlenet": "GoogLeNet",
    "alexnet": "AlexNet",
    "resnet18": "ResNet-18",
    "resnet34": "ResNet-34",
    "resnet56": "ResNet-56",
    "vgg16": "VGG-16",
}
HEAD = ["corpus", "representation", "network"]
"""Headers of the titles of a row."""
