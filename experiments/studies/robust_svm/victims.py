"""The classifiers of the study of the classical pipeline, and the attacks on them."""

from typing import NamedTuple

from experiments.studies.robust_svm.sizes import Size

BUDGETS = (0.003, 0.01, 0.03, 0.1)
"""Linf norms of PGD, in units of an image within [0, 1]; other attacks have EPS."""
EPS = 0.03
TRANSFERRED = ("fgsm", "bim_a", "bim_b", "jsma", "carlini_wagner")
"""The attacks of the publication, whose examples are given to other classifiers."""
STAGES = {
    "surf_svm_no_enhancement": {"boost": None},
    "surf_svm_no_svd": {"energy": 1},
    "surf_svm_no_autoencoder": {"denoise": False},
    "surf_svm_bare": {"boost": None, "energy": 1, "denoise": False},
}
"""The pipeline without a stage, or without all three before SURF."""
INPUTS = ("dwt", "stft", "crp")
NETWORKS = ("alexnet", "googlenet")
SURVEYED = (*NETWORKS, "plain_svm", "surf_svm")
"""The classifiers on all inputs; the others are on the first one alone."""


class Planned(NamedTuple):
    """An attack of the study.

    Attributes:
        title: its name in tables.
        text: a choice from `ATTACKS`.
        budgets: linf norms; empty for an attack that finds the smallest perturbation.
    """

    title: str
    text: str
    budgets: tuple[float, ...] = ()


def run_name(attack: str, budget: float | None) -> str:
    """The folder of one attack at one budget, in the folder of its cell."""
    return attack if budget is None else f"{attack}-{budget:g}"


def planned(size: Size) -> dict[str, Planned]:
    """The attacks by name.

    BIM-a stops at the first success and BIM-b takes all of its 10 steps (Ma et al.
    2018). PGD takes 40 steps from one random start.
    """
    return {
        "fgsm": Planned("FGSM", "fgsm", (EPS,)),
        "bim_a": Planned("BIM-a", "bim(num_steps=10,stop='first')", (EPS,)),
        "bim_b": Planned("BIM-b", "bim(num_steps=10,stop='last')", (EPS,)),
        "jsma": Planned("JSMA", size.attacks["jsma"]),
        "carlini_wagner": Planned("C&W", size.attacks["carlini_wagner"]),
        "nes": Planned("NES", size.attacks["nes"], (EPS,)),
        "pgd": Planned("PGD", "pgd(num_steps=40)", BUDGETS),
    }


def attacks_of(victim: str, input: str, size: Size) -> dict[str, Planned]:
    """The attacks on one classifier by its own gradients or scores."""
    every = planned(size)
    if victim in STAGES:
        return {"pgd": every["pgd"]}
    if input != INPUTS[0]:
        return {name: every[name] for name in ("fgsm", "bim_b", "pgd")}
    return every


def victims(size: Size, input: str) -> dict[str, str]:
    """The classifiers of an input by name, the sources of transfer first."""

    def surf_svm(**options) -> str:
        options = {**size.pipeline, **options}
        return f"surf_svm({','.join(f'{k}={v!r}' for k, v in options.items())})"

    found = {
        **size.networks,
        "plain_svm": (
            "surf_svm(boost=None,energy=1,denoise=False,encoder='pixels',"
            f"num_words={size.pixels})"
        ),
        "surf_svm": surf_svm(),
        "surf_svm_hard": surf_svm(encoder="hard"),
        "guarded_alexnet": (
            f"guarded(network={size.networks['alexnet']!r},"
            f"width={size.pipeline['width']})"
        ),
        **{name: surf_svm(**options) for name, options in STAGES.items()},
    }
    wanted = found if input == INPUTS[0] else SURVEYED
    return {name: found[name] for name in wanted}
