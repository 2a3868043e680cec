"""The criterion of an adversarial example, and the objectives of gradient attacks.

Every function takes one row of logits [classes]. `y` is the label to leave or, with
`targeted`, the class to reach.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from advjax.types import Label, Logits


def cross_entropy(logits: Logits, y: Label) -> Float[Array, ""]:
    """The negative log probability of class `y`, in nats."""
    return jax.nn.logsumexp(logits) - logits[y]


def margin(logits: Logits, y: Label) -> Float[Array, ""]:
    """The logit of `y` minus the greatest other logit."""
    return logits[y] - best_other(logits, y)


def best_other(logits: Logits, y: Label) -> Float[Array, ""]:
    """The greatest logit of a class that is not `y`."""
    return jnp.where(jnp.arange(logits.size) == y, -jnp.inf, logits).max()


def is_adversarial(logits: Logits, y: Label, *, targeted: bool) -> Bool[Array, ""]:
    """True if the top class is `y` or, untargeted, is not `y`.

    Logits that are not finite never count as a success: they are a failure of the
    classifier, not of its robustness.
    """
    top = logits.argmax(axis=-1)
    hit = top == y if targeted else top != y
    return hit & jnp.isfinite(logits).all()


def attack_loss(
    logits: Logits, y: Label, *, targeted: bool, loss: str = "cross_entropy"
) -> Float[Array, ""]:
    """The objective to increase: the loss of the label, or minus that of the target.

    Args:
        logits: one row.
        y: label or target class.
        targeted: whether `y` is a target class.
        loss: "cross_entropy", or "margin": Carlini and Wagner's objective without its
            hinge, whose gradients do not vanish for a confident classifier.

    Raises:
        ValueError: an unknown loss.
    """
    if loss not in LOSSES:
        raise ValueError(f"loss={loss!r}: choose one of {', '.join(LOSSES)}")
    value = cross_entropy(logits, y) if loss == "cross_entropy" else -margin(logits, y)
    return -value if targeted else value


LOSSES = ("cross_entropy", "margin")
