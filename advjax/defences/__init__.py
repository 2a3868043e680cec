"""Training defences: the table of contents.

A defence is a gradient function: given the composed network it returns the gradients
that one training step follows. Noise and adversarial examples enter at whatever stage
of the chain the training was told.
"""

from collections.abc import Callable

from advjax.defences.base import Apply, GradFn, Gradients, cross_entropy_gradients
from advjax.defences.fused_adversarial import fused_adversarial
from advjax.defences.gaussian import gaussian
from advjax.defences.mixup import mixup
from advjax.defences.pgd_adversarial import pgd_adversarial
from advjax.defences.plain import plain

DEFENCES: dict[str, Callable[..., GradFn]] = {
    "plain": plain,
    "gaussian": gaussian,
    "fused_adversarial": fused_adversarial,
    "pgd_adversarial": pgd_adversarial,
    "mixup": mixup,
}

__all__ = [
    "DEFENCES",
    "Apply",
    "GradFn",
    "Gradients",
    "cross_entropy_gradients",
    "fused_adversarial",
    "gaussian",
    "mixup",
    "pgd_adversarial",
    "plain",
]
