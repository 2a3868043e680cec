"""Sizes of the study on adversarial training, and the flags that change them."""

from collections.abc import Mapping
from typing import NamedTuple

from advjax import catalog
from advjax.models import MODELS
from advjax.training import Recipe
from experiments import flags
from experiments.lab.budget_scan import Scan
from experiments.studies import image_corpora
from experiments.studies.image_corpora import short_recipe

REPRESENTATIONS = ("stft", "dwt", "stft_tonnetz", "dwt_tonnetz")
NETWORKS = ("googlenet", "alexnet", "resnet18", "resnet34", "resnet56", "vgg16")


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        scale: every side of an image is divided by it.
        recipe: of every training.
        num_points: at most so many clips are attacked in a cell.
        attacks: the options of attacks that are not run as their authors do.
        representations: those of the grid.
        networks: with their options.
        eps: linf norm of adversarial training, of images in [0, 1].
    """

    scale: float
    recipe: Recipe
    num_points: int
    attacks: Mapping[str, str]
    representations: tuple[str, ...] = REPRESENTATIONS
    networks: tuple[str, ...] = NETWORKS
    eps: float = 0.03


PRESETS = {
    "small": Size(
        scale=14,
        representations=("stft", "dwt_tonnetz"),
        networks=(
            "alexnet(width=24,resize=None)",
            "resnet18(width=8,resize=None)",
            "resnet56(width=8,resize=32)",
        ),
        recipe=short_recipe(300, validate_every=30),
        num_points=20,
        attacks={
            "JSMA": "jsma(pairs=False,gamma=0.02)",
            # Networks trained for minutes are seldom sure enough for a loss of 0.2.
            "PIA": "partial_information(max_queries=3000,adv_thresh=1.0)",
            # Three searches reach from 0.25 to 100 times the first constant.
            "C&W": "carlini_wagner(num_searches=3,num_steps=200,initial_c=1.0)",
        },
    ),
    "medium": Size(
        scale=7,
        networks=(
            "alexnet(width=48,resize=None)",
            "resnet18(width=32,resize=None)",
            "resnet56(width=16,resize=64)",
        ),
        recipe=short_recipe(3_000, validate_every=100),
        num_points=50,
        attacks={
            "JSMA": "jsma(pairs=False,gamma=0.05)",
            "PIA": "partial_information(max_queries=10000)",
            "C&W": "carlini_wagner(num_searches=5,num_steps=500)",
        },
    ),
    # The publication gives no recipe: Adam at 1e-3 and early stopping after 20
    # validations are our choice. Pairs of all of JSMA's 2 million entries cannot be
    # scored, so single entries are taken.
    "publication": Size(
        scale=1,
        recipe=Recipe(num_steps=20_000, batch_size=32, validate_every=200),
        num_points=200,
        attacks={
            "JSMA": "jsma(pairs=False,gamma=0.1,max_steps=20000)",
            "PIA": "partial_information(max_queries=100000)",
            "C&W": "carlini_wagner(num_searches=9,num_steps=1000)",
        },
    ),
}


def scans(attacks: Mapping[str, str]) -> dict[str, Scan]:
    """The scans of the publication's six attacks, by their names there.

    Budgets of the sign attacks rise by a factor of the square root of 2 from 2^-14 of
    the range of an image. Those of the partial-information attack begin at the 0.05
    that its authors aim at.
    """
    rising = tuple(2.0 ** (step / 2) for step in range(-28, 0))
    return {
        "FGSM": Scan("fgsm", rising),
        "BIM": Scan("bim", rising),
        "JSMA": Scan(attacks["JSMA"]),
        "DeepFool": Scan("deepfool"),
        "PIA": Scan(attacks["PIA"], (0.05, 0.1, 0.2, 0.4, 0.8)),
        "C&W": Scan(attacks["C&W"]),
    }


def sized(size: Size) -> Size:
    """A size with the changes of the flags.

    Raises:
        ValueError: an unknown representation or network.
    """
    for text in flags.NETWORK.value or ():
        catalog.pick(text, MODELS, num_classes=2)
    for name in flags.REPRESENTATION.value or ():
        if name not in REPRESENTATIONS:
            known = ", ".join(REPRESENTATIONS)
            raise ValueError(f"--representation: no {name!r}; there are: {known}")
    return size._replace(
        scale=flags.SCALE.value or size.scale,
        representations=tuple(flags.REPRESENTATION.value or size.representations),
        networks=tuple(flags.NETWORK.value or size.networks),
        recipe=image_corpora.recipe_of(size.recipe),
        num_points=flags.NUM_POINTS.value or size.num_points,
        eps=flags.value_or(flags.EPS, size.eps),
    )
