"""The classifiers of the study of the classical pipeline, and the attacks on them."""

from typing import Any, NamedTuple

from experiments.studies.robust_svm.selection import SURF
from experiments.studies.robust_svm.sizes import Size

BUDGETS = (0.001, 0.003, 0.01, 0.03, 0.1)
"""Linf norms of the curves, in units of an image within [0, 1]."""
EPS = 0.03
"""Linf norm of the tables."""
TRANSFERRED = ("fgsm", "bim_a", "bim_b", "jsma", "carlini_wagner")
"""The attacks of the publication, whose examples are given to other classifiers."""
CURVED = ("fgsm", "bim_b")
"""The attacks whose examples made on the networks transfer at every budget."""
STAGES = {
    "surf_svm_no_enhancement": {"boost": None},
    "surf_svm_no_svd": {"energy": 1},
    "surf_svm_no_autoencoder": {"denoise": False},
    "surf_svm_bare": {"boost": None, "energy": 1, "denoise": False},
}
"""The pipeline without a stage, or without all three before SURF."""
SMOOTHED = {"alexnet_smoothed": "alexnet", "surf_svm_smoothed": "surf_svm"}
"""Classifiers that are trained with noise and certified, and those without."""
INPUTS = ("dwt", "stft", "crp")
NETWORKS = ("alexnet", "googlenet")
SURVEYED = (*NETWORKS, "plain_svm", "surf_svm")
"""The classifiers on all inputs."""
MACHINES = ("plain_svm", "surf_svm", "surf_svm_other")
"""The classifiers whose machine itself is attacked."""
OTHERS = ("guarded_alexnet", "surf_svm_other", *STAGES)
"""The classifiers on the first input alone."""
TRANSFERS = {"transfer": SURVEYED, "transfer_others": OTHERS}
"""The classifiers that are asked about examples, by the name of the cell."""
ORDER = (*SURVEYED, "transfer", *OTHERS, "transfer_others", *SMOOTHED)
"""Of the cells: by worth, each after the cells that it reads."""


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
    2018). PGD takes 40 steps from each of several random starts.
    """
    pgd = f"pgd(num_steps=40,num_restarts={size.num_restarts})"
    return {
        "fgsm": Planned("FGSM", "fgsm", (EPS,)),
        "bim_a": Planned("BIM-a", "bim(num_steps=10,stop='first')", (EPS,)),
        "bim_b": Planned("BIM-b", "bim(num_steps=10,stop='last')", (EPS,)),
        "pgd": Planned("PGD", pgd, BUDGETS),
        "jsma": Planned("JSMA", size.attacks["jsma"]),
        "carlini_wagner": Planned("C&W", size.attacks["carlini_wagner"]),
        "nes": Planned("NES", size.attacks["nes"], (EPS,)),
    }


def attacks_of(victim: str, input: str, size: Size) -> dict[str, Planned]:
    """The attacks on one classifier by its own gradients or scores."""
    every = planned(size)
    if victim in SMOOTHED:
        return {}
    if victim in STAGES:
        return {"pgd": every["pgd"]._replace(budgets=(EPS,))}
    if input != INPUTS[0]:
        found = {"pgd": every["pgd"]._replace(budgets=(EPS,))}
        if victim in NETWORKS:
            found = {"bim_b": every["bim_b"], **found}
        return found
    if victim in NETWORKS:
        # Their examples transfer at every budget.
        curved = {name: every[name]._replace(budgets=BUDGETS) for name in CURVED}
        return every | curved
    if victim == "surf_svm_other":
        return {name: every[name] for name in ("fgsm", "bim_b", "pgd")}
    return every


class Victim(NamedTuple):
    """A classifier of the study.

    Attributes:
        model: a choice from `MODELS`, without the options that are chosen.
        encoders: of the candidates that its setting is chosen from; empty for a
            classifier without such a setting.
        others: it has the encoder that was not chosen.
        only: options of the setting that it takes; empty for all.
        changes: options that replace the setting's.
        defence: of its training.
    """

    model: str
    encoders: tuple[str, ...] = ()
    others: bool = False
    only: tuple[str, ...] = ()
    changes: tuple[tuple[str, Any], ...] = ()
    defence: str = "plain"


def base(size: Size) -> str:
    """The pipeline with the options that are not chosen."""
    options = ",".join(f"{key}={value!r}" for key, value in size.pipeline.items())
    return f"surf_svm({options})"


def pixels(size: Size) -> str:
    """The plain machine on pixels."""
    return (
        "surf_svm(boost=None,energy=1,denoise=False,encoder='pixels',"
        f"num_words={size.pixels})"
    )


def victims(size: Size, input: str) -> dict[str, Victim]:
    """The classifiers of an input by name, the sources of transfer first."""
    pipeline, behind = base(size), size.networks["alexnet"]
    guarded = f"guarded(network={behind!r},width={size.pipeline['width']})"
    found = {
        **{name: Victim(text) for name, text in size.networks.items()},
        "plain_svm": Victim(pixels(size), ("pixels",)),
        "surf_svm": Victim(pipeline, SURF),
        "guarded_alexnet": Victim(guarded, SURF, only=("energy", "centred")),
        "surf_svm_other": Victim(pipeline, SURF, others=True),
        **{
            name: Victim(pipeline, SURF, changes=tuple(changes.items()))
            for name, changes in STAGES.items()
        },
        "alexnet_smoothed": Victim(behind, defence="gaussian"),
        "surf_svm_smoothed": Victim(pipeline, SURF, defence="gaussian"),
    }
    wanted = found if input == INPUTS[0] else SURVEYED
    return {name: found[name] for name in wanted}
