"""Sizes of the study on adversarial training, and the flags that change them."""

import dataclasses
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
ATTACKS = ("FGSM", "BIM", "JSMA", "DeepFool", "PIA", "C&W")  # the publication's order
EARLY = ("FGSM", "BIM", "JSMA", "DeepFool", "C&W")
"""Attacks of a cell of the grid; PIA, whose queries take the longest, has its own."""
UNTARGETED = ("FGSM", "BIM", "JSMA", "C&W")
"""Targeted attacks of the publication that also run without: PIA needs a target."""
VALIDATION_SHARE = 0.2
"""Of the recordings of all folds but the tested one: our choice."""


class Curve(NamedTuple):
    """Trainings of which validation clips choose the length.

    Attributes:
        steps: lengths, rising.
        shares: of the recordings that train; all but 1 at the middle length.
    """

    steps: tuple[int, ...] = (300, 600, 900)
    shares: tuple[float, ...] = (0.25, 0.5, 1.0)


class Size(NamedTuple):
    """Sizes of the study.

    Attributes:
        scale: every side of an image is divided by it.
        recipe: of every training; of its length if there is a curve.
        num_points: at most so many clips are attacked in a cell, by corpus.
        num_pia_points: likewise by PIA.
        attacks: the options of attacks that are not run as their authors do.
        folds: official folds to test on, by corpus.
        representations: those of the grid.
        networks: with their options.
        later: networks of a corpus whose cells come after all others'.
        eps: linf norm of adversarial training, of images in [0, 1].
        curve: trainings that choose the length of the others, if any.
        other_resolution: a network of the grid with another input size; its accuracy
            alone is measured.
        alphas: weights of the clean loss beside 0.5, for the first network.
    """

    scale: float
    recipe: Recipe
    num_points: Mapping[str, int]
    num_pia_points: Mapping[str, int]
    attacks: Mapping[str, str]
    folds: Mapping[str, tuple[int, ...]]
    representations: tuple[str, ...] = REPRESENTATIONS
    networks: tuple[str, ...] = NETWORKS
    later: Mapping[str, tuple[str, ...]] = {}
    eps: float = 0.03
    curve: Curve | None = None
    other_resolution: str | None = None
    alphas: tuple[float, ...] = ()


PRESETS = {
    "small": Size(
        scale=14,
        representations=("stft", "dwt_tonnetz"),
        networks=(
            "alexnet(width=24,resize=None)",
            "resnet18(width=16,resize=None)",
            "resnet56(width=16,resize=32)",  # at its own width
        ),
        recipe=short_recipe(600, validate_every=60),
        num_points={"esc10": 14, "urbansound8k": 40},
        num_pia_points={"esc10": 5, "urbansound8k": 15},
        attacks={
            # A tenth of the entries, as in Ma et al. 2018: at most 1,053 maps.
            "JSMA": "jsma(pairs=False,gamma=0.1,max_steps=1100)",
            # Networks trained for minutes are seldom sure enough for a loss of 0.2.
            "PIA": "partial_information(max_queries=3000,adv_thresh=1.0)",
            # Three searches reach from 0.25 to 100 times the first constant.
            "C&W": "carlini_wagner(num_searches=3,num_steps=200,initial_c=1.0)",
        },
        folds={"esc10": (1, 2, 3), "urbansound8k": (1,)},
        later={"urbansound8k": ("resnet56",)},
        curve=Curve(),
        other_resolution="resnet56(width=16,resize=64)",
        alphas=(0.3, 0.7),
    ),
    "medium": Size(
        scale=7,
        networks=(
            "alexnet(width=48,resize=None)",
            "resnet18(width=32,resize=None)",
            "resnet56(width=16,resize=64)",
        ),
        recipe=short_recipe(3_000, validate_every=100),
        num_points={"esc10": 50, "urbansound8k": 50},
        num_pia_points={"esc10": 50, "urbansound8k": 50},
        attacks={
            "JSMA": "jsma(pairs=False,gamma=0.1,max_steps=4300)",
            "PIA": "partial_information(max_queries=10000)",
            "C&W": "carlini_wagner(num_searches=5,num_steps=500)",
        },
        folds={"esc10": (1,), "urbansound8k": (1,)},
    ),
    # The publication gives no recipe: Adam at 1e-3 and early stopping after 20
    # validations are our choice. Pairs of all of JSMA's 2 million entries cannot be
    # scored, so single entries are taken.
    "publication": Size(
        scale=1,
        recipe=Recipe(num_steps=20_000, batch_size=32, validate_every=200),
        num_points={"esc50": 200, "urbansound8k": 200},
        num_pia_points={"esc50": 200, "urbansound8k": 200},
        attacks={
            "JSMA": "jsma(pairs=False,gamma=0.1,max_steps=20000)",
            "PIA": "partial_information(max_queries=100000)",
            "C&W": "carlini_wagner(num_searches=9,num_steps=1000)",
        },
        folds={"esc50": tuple(range(1, 6)), "urbansound8k": tuple(range(1, 11))},
    ),
}


def scans(attacks: Mapping[str, str], *, targeted: bool = True) -> dict[str, Scan]:
    """The scans of the publication's six attacks, by their names there.

    All but DeepFool reach for a class, as in the publication; the untargeted ones leave
    their own and are without PIA. Budgets of the sign attacks rise by a factor of the
    square root of 2 from 2^-12 of the range of an image to 2^-0.5. Those of the
    partial-information attack begin at the 0.05 that its authors aim at.
    """
    rising = tuple(2.0 ** (step / 2) for step in range(-24, 0))
    found = {
        "FGSM": Scan("fgsm", rising),
        "BIM": Scan("bim", rising),
        "JSMA": Scan(attacks["JSMA"]),
        "DeepFool": Scan("deepfool"),
        "PIA": Scan(attacks["PIA"], (0.05, 0.1, 0.2, 0.4, 0.8)),
        "C&W": Scan(attacks["C&W"]),
    }
    if not targeted:
        return {name: found[name] for name in UNTARGETED}
    return {
        name: each
        if name == "DeepFool"
        else each._replace(attack=_with_target(each.attack))
        for name, each in found.items()
    }


def _with_target(text: str) -> str:
    """A choice from `ATTACKS` that reaches for a class."""
    name, options = catalog.parse(text)
    every = {**options, "targeted": True}.items()
    return f"{name}({','.join(f'{key}={value!r}' for key, value in every)})"


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
    if flags.NUM_STEPS.value:
        size = size._replace(curve=None)
    if flags.is_set(flags.FOLDS):
        numbers = tuple(
            int(name.removeprefix("fold")) for name in image_corpora.fold_names()
        )
        size = size._replace(folds=dict.fromkeys(size.folds, numbers))
    if given := flags.NUM_POINTS.value:
        every = dict.fromkeys(size.folds, given)
        size = size._replace(num_points=every, num_pia_points=every)
    return size._replace(
        scale=flags.SCALE.value or size.scale,
        representations=tuple(flags.REPRESENTATION.value or size.representations),
        networks=tuple(flags.NETWORK.value or size.networks),
        recipe=image_corpora.recipe_of(size.recipe),
        eps=flags.value_or(flags.EPS, size.eps),
    )


def of_length(recipe: Recipe, num_steps: int) -> Recipe:
    """The recipe with another length, and as many validations in it."""
    times = max(1, recipe.num_steps // (recipe.validate_every or recipe.num_steps))
    every = max(1, num_steps // times)
    return dataclasses.replace(recipe, num_steps=num_steps, validate_every=every)
