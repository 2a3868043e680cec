"""No defence: cross-entropy on the clean batch."""

from advjax.defences.base import GradFn, cross_entropy_gradients


def plain() -> GradFn:
    """Train on the clean batch: gradients of the mean cross-entropy."""
    return cross_entropy_gradients
