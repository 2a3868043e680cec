"""What is looked at before an attack starts, because afterwards it would mislead."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.attacks.objectives import cross_entropy
from advjax.compilation import compiler_options
from advjax.types import Bounds, LogitsFn


def check_classifier(
    logits: Float[np.ndarray, "examples classes"],
    x: Float[np.ndarray, "examples *features"],
    bounds: Bounds,
) -> None:
    """Nothing; refuses what no attack can be judged on.

    Args:
        logits: of the clean examples.
        x: the clean examples.
        bounds: what the attack will keep entries in.

    Raises:
        ValueError: logits that are not finite, that are probabilities, or examples
            outside the bounds; the message says what to do.
    """
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise ValueError(
            f"the classifier's logits of {bad.size} of {len(logits)} examples are not "
            f"finite (the first: number {bad[0]}): its weights or its front end "
            "overflow, and no gradient would mean anything"
        )
    if (logits >= 0).all() and np.allclose(logits.sum(axis=1), 1.0, atol=1e-4):
        raise ValueError(
            "the classifier returns probabilities: attacks need logits, whose "
            "gradients do not vanish where it is sure. Return its output before the "
            "softmax, or the logarithm of its probabilities"
        )
    low, high = bounds
    slack = 1e-6 * max(1.0, *(abs(b) for b in bounds if np.isfinite(b)), 1.0)
    if x.min() < low - slack or x.max() > high + slack:
        raise ValueError(
            f"the examples reach from {x.min():.4g} to {x.max():.4g}, outside the "
            f"attack's bounds {low:g} to {high:g}: clipping alone would change them. "
            "Give the attack bounds=(least, greatest) that hold its inputs"
        )


def zero_gradient_shares(
    logits_fn: LogitsFn,
    x: Float[np.ndarray, "examples *features"],
    y: Int[np.ndarray, "examples"],
    *,
    batch_size: int = 16,
) -> Float[np.ndarray, "examples"]:
    """For each example, the share of entries whose gradient is exactly zero.

    The gradient is that of the cross-entropy of label `y`. A share near 1 is a sign of
    masked gradients (saturation, rounding, a non-differentiable step): a white-box
    attack then fails without the classifier being robust.

    Source: Athalye et al. 2018, arXiv:1802.00420, on the signs of masked gradients.
    """
    shares = []
    for start in range(0, len(x), batch_size):
        part = slice(start, start + batch_size)
        rows, labels = np.asarray(x[part]), np.asarray(y[part], np.int32)
        missing = batch_size - len(rows)
        rows = np.pad(rows, [(0, missing)] + [(0, 0)] * (rows.ndim - 1))
        found = _shares()(logits_fn, rows, np.pad(labels, (0, missing)))
        shares.append(np.asarray(found)[: batch_size - missing])
    return np.concatenate(shares).astype(np.float64)


@functools.cache
def _shares():
    return jax.jit(_share_each, compiler_options=compiler_options())


def _share_each(
    logits_fn: LogitsFn,
    x: Float[Array, "examples *features"],
    y: Int[Array, "examples"],
) -> Float[Array, "examples"]:
    def share(x, y):
        gradient = jax.grad(lambda x: cross_entropy(logits_fn(x), y))(x)
        return jnp.mean(gradient == 0, dtype=jnp.float32)

    return jax.vmap(share)(x, y)
