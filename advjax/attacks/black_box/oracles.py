"""Oracles: the part of a classifier's output that a black-box attacker sees.

An oracle is a `LogitsFn` without a gradient, so an attack that only queries outputs
works on it unchanged and one that uses gradients finds zeros.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool

from advjax.attacks.objectives import is_adversarial
from advjax.types import Features, Label, Logits, LogitsFn


def scores(logits_fn: LogitsFn) -> LogitsFn:
    """All log probabilities, without a gradient."""

    def oracle(x: Features) -> Logits:
        return jax.nn.log_softmax(logits_fn(jax.lax.stop_gradient(x)))

    return oracle


def top_k(logits_fn: LogitsFn, k: int) -> LogitsFn:
    """The log probabilities of the `k` best classes; -inf for all others.

    Of equal classes the first is the better one, as for `argmax`.

    Raises:
        ValueError: k is less than 1.
    """
    if k < 1:
        raise ValueError(f"k={k}: an oracle shows at least the best class")

    def oracle(x: Features) -> Logits:
        found = scores(logits_fn)(x)
        best, classes = jax.lax.top_k(found, min(k, found.size))
        return jnp.full_like(found, -jnp.inf).at[classes].set(best)

    return oracle


def is_reached(shown: Logits, y: Label, *, targeted: bool) -> Bool[Array, ""]:
    """True if the attack's goal is met, as far as the visible classes show.

    Unlike `objectives.is_adversarial`, this accepts the -inf of a hidden class.
    """
    lowest = jnp.finfo(shown.dtype).min
    visible = jnp.where(jnp.isneginf(shown), lowest, shown)
    return is_adversarial(visible, y, targeted=targeted)
