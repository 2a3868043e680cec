"""Attacks: the table of contents.

Each constructor takes options and returns an `Attack` on one example. `run` runs an
attack inside a compiled function; `run_batch` runs it on many examples.
"""

from collections.abc import Callable

from advjax.attacks.balls import eps_for_dbfs, eps_for_snr
from advjax.attacks.base import Attack, AttackResult, State, run
from advjax.attacks.batches import BatchState, run_batch
from advjax.attacks.black_box.nes import nes
from advjax.attacks.black_box.partial_information import partial_information
from advjax.attacks.carlini_wagner import carlini_wagner
from advjax.attacks.deepfool import deepfool
from advjax.attacks.expectation import expectation
from advjax.attacks.gradient_sign import bim, fgsm, pgd
from advjax.attacks.imperceptible import imperceptible
from advjax.attacks.jsma import jsma
from advjax.attacks.lbfgs import lbfgs
from advjax.attacks.noise import noise
from advjax.attacks.pcm16 import finish_pcm16, on_pcm16
from advjax.attacks.slot_memory import fitting_slots

ATTACKS: dict[str, Callable[..., Attack]] = {
    "noise": noise,
    "fgsm": fgsm,
    "bim": bim,
    "pgd": pgd,
    "jsma": jsma,
    "deepfool": deepfool,
    "carlini_wagner": carlini_wagner,
    "lbfgs": lbfgs,
    "nes": nes,
    "partial_information": partial_information,
    "imperceptible": imperceptible,
}

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackResult",
    "BatchState",
    "State",
    "bim",
    "carlini_wagner",
    "deepfool",
    "eps_for_dbfs",
    "eps_for_snr",
    "expectation",
    "fgsm",
    "finish_pcm16",
    "fitting_slots",
    "imperceptible",
    "jsma",
    "lbfgs",
    "nes",
    "noise",
    "on_pcm16",
    "partial_information",
    "pgd",
    "run",
    "run_batch",
]
