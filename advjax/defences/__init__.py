"""Training defences: the table of contents.

A defence is a gradient function: given the network and a batch, it returns the
gradients of one training step. The objective of a training names the stage of the chain
at which the defence adds noise or adversarial perturbations.
"""

from collections.abc import Callable

from advjax.defences.base import Apply, GradFn, Gradients, cross_entropy_gradients
from advjax.defences.consistency import consistency
from advjax.defences.fused_adversarial import fused_adversarial
from advjax.defences.gaussian import gaussian
from advjax.defences.macer import macer
from advjax.defences.mixup import mixup
from advjax.defences.noisy import noisy
from advjax.defences.pgd_adversarial import pgd_adversarial
from advjax.defences.plain import plain
from advjax.defences.smooth_adv import smooth_adv

DEFENCES: dict[str, Callable[..., GradFn]] = {
    "plain": plain,
    "gaussian": gaussian,
    "noisy": noisy,
    "fused_adversarial": fused_adversarial,
    "pgd_adversarial": pgd_adversarial,
    "mixup": mixup,
    "consistency": consistency,
    "smooth_adv": smooth_adv,
    "macer": macer,
}

__all__ = [
    "DEFENCES",
    "Apply",
    "GradFn",
    "Gradients",
    "consistency",
    "cross_entropy_gradients",
    "fused_adversarial",
    "gaussian",
    "macer",
    "mixup",
    "noisy",
    "pgd_adversarial",
    "plain",
    "smooth_adv",
]
