"""Training defences: the table of contents.

A defence is a gradient function: given the composed network it returns the gradients
that one training step follows. Noise and adversarial examples enter at whatever stage
of the chain the training was told.
"""

from collections.abc import Callable

from advjax.defences.base import Apply, GradFn, Gradients, cross_entropy_gradients
from advjax.defences.gaussian import gaussian
from advjax.defences.plain import plain

DEFENCES: dict[str, Callable[..., GradFn]] = {"plain": plain, "gaussian": gaussian}

__all__ = [
    "DEFENCES",
    "Apply",
    "GradFn",
    "Gradients",
    "cross_entropy_gradients",
    "gaussian",
    "plain",
]
