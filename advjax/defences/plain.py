"""No defence: cross-entropy on the clean batch."""

from advjax.defences.base import GradFn, cross_entropy_gradients


def plain() -> GradFn:
    """The gradients of the clean loss."""
    return cross_entropy_gradients
