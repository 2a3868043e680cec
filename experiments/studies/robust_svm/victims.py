"""The classifiers of the study of the classical pipeline, and their attacks."""

from experiments.studies.robust_svm.sizes import Size
from experiments.studies.robust_svm.steps import Planned

BUDGETS = (0.003, 0.01, 0.03, 0.1)
"""Of PGD, in units of an image within [0, 1]; the others have EPS."""
EPS = 0.03
TRANSFERRED = ("fgsm", "bim_a", "bim_b", "jsma", "carlini_wagner")
"""The attacks of the publication, whose examples are handed on."""
STAGES = {
    "surf_svm_no_enhancement": {"boost": None},
    "surf_svm_no_svd": {"energy": 1},
    "surf_svm_no_autoencoder": {"denoise": False},
    "surf_svm_bare": {"boost": None, "energy": 1, "denoise": False},
}
"""The pipeline without a stage, or without all three before SURF."""
INPUTS = ("dwt", "stft", "crp")
SURVEYED = ("alexnet", "googlenet", "plain_svm", "surf_svm")


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
    """Those that a cell is attacked with by itself."""
    every = planned(size)
    if victim in STAGES:
        return {"pgd": every["pgd"]}
    if input != INPUTS[0]:
        return {name: every[name] for name in ("fgsm", "bim_b", "pgd")}
    return every


def victims(size: Size, input: str) -> dict[str, str]:
    """The classifiers of an input by name, the sources of transfer first."""

    def spelled(**options) -> str:
        options = {**size.pipeline, **options}
        return f"surf_svm({','.join(f'{k}={v!r}' for k, v in options.items())})"

    found = {
        **size.networks,
        "plain_svm": (
            "surf_svm(boost=None,energy=1,denoise=False,encoder='pixels',"
            f"num_words={size.pixels})"
        ),
        "surf_svm": spelled(),
        "surf_svm_hard": spelled(encoder="hard"),
        "guarded_alexnet": (
            f"guarded(network={size.networks['alexnet']!r},"
            f"width={size.pipeline['width']})"
        ),
        **{name: spelled(**options) for name, options in STAGES.items()},
    }
    if input == INPUTS[0]:
        return found
    return {name: found[name] for name in SURVEYED}
