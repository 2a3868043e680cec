"""Checks of the classifier and its inputs before an attack."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from advjax.arguments import check_labels, float_example, in_float32, num_classes
from advjax.attacks.objectives import cross_entropy
from advjax.callables import join, split
from advjax.padding import apart, in_batches, of_any, of_each, own
from advjax.runtime.compilation import compiler_options
from advjax.types import AnyArray, Bounds, LogitsFn


def check_classifier(
    logits: Float[np.ndarray, "examples classes"],
    x: Float[np.ndarray, "examples *features"],
    bounds: Bounds,
) -> None:
    """Refuse an unusable classifier or unusable examples.

    Args:
        logits: of the clean examples.
        x: the clean examples.
        bounds: the attack's bounds.

    Raises:
        ValueError: logits that are not finite or that are probabilities, or examples
            outside the bounds.
    """
    check_finite_logits(logits)
    if look_like_probabilities(logits):
        raise ValueError(PROBABILITIES)
    check_in_bounds(x, bounds)


def check_finite_logits(logits: Float[np.ndarray, "examples classes"]) -> None:
    """Refuse logits of clean examples that are NaN or infinite.

    Raises:
        ValueError: some logits are not finite.
    """
    bad = np.flatnonzero(~np.isfinite(logits).all(axis=1))
    if bad.size:
        raise ValueError(
            f"the classifier's logits of {bad.size} of {len(logits)} examples are not "
            f"finite (the first: number {bad[0]}): check its weights and its front end "
            "for an overflow"
        )


def look_like_probabilities(logits: Float[np.ndarray, "examples classes"]) -> bool:
    """True if no entry is negative and every row sums to 1."""
    if logits.shape[1] < 2 or (logits < 0).any():
        return False
    return np.allclose(logits.sum(axis=1), 1.0, atol=1e-4)


PROBABILITIES = (
    "the classifier returns probabilities, but attacks need logits, whose gradients do "
    "not vanish at confident predictions. Return the output before the softmax, or the "
    "logarithm of the probabilities"
)


def check_in_bounds(x: Float[np.ndarray, "..."], bounds: Bounds) -> None:
    """Refuse examples that clipping to the bounds would change.

    Raises:
        ValueError: an entry lies outside the bounds by more than rounding.
    """
    low, high = bounds
    slack = 1e-6 * max(1.0, *(abs(b) for b in bounds if np.isfinite(b)), 1.0)
    if x.size and (x.min() < low - slack or x.max() > high + slack):
        raise ValueError(
            f"the examples reach from {x.min():.4g} to {x.max():.4g}, outside the "
            f"attack's bounds {low:g} to {high:g}. Give the attack "
            "bounds=(least, greatest) that contain the examples"
        )


def check_finite(x: Float[np.ndarray, "examples *features"]) -> None:
    """Refuse examples that hold NaN or infinity.

    Raises:
        ValueError: an example is not finite.
    """
    entries = tuple(range(1, x.ndim))
    bad = np.flatnonzero(~np.isfinite(x).all(axis=entries))
    if bad.size:
        raise ValueError(
            f"example {bad[0]} holds NaN or infinity ({bad.size} such examples in "
            "all): check how it was read, or leave it out"
        )


def zero_gradient_shares(
    logits_fn: LogitsFn,
    x: AnyArray,
    y: AnyArray,
    *,
    batch_size: int = 16,
) -> Float[np.ndarray, "examples"]:
    """For each example, the share of entries whose gradient is exactly zero.

    The gradient is that of the cross-entropy of label `y`. A share near 1 is a sign of
    masked gradients (saturation, rounding, a non-differentiable step): a white-box
    attack then fails although the classifier is not robust.

    Raises:
        ValueError: an unusable function, or unusable examples or labels.

    Source: Athalye et al. 2018, arXiv:1802.00420, on the signs of masked gradients.
    """
    x, lengths = apart(x)
    x = np.asarray(float_example(x))
    classes = num_classes(of_any(logits_fn, lengths), example_like(x))
    y = np.asarray(check_labels(y, classes, shape=(len(x),)))
    arrays, static = split(logits_fn)
    shares = [np.zeros(0, np.float32)]
    for batch, count in in_batches((x, y, lengths), batch_size):
        shares.append(np.asarray(_shares()(static, arrays, *batch))[:count])
    return np.concatenate(shares).astype(np.float64)


def example_like(x: Float[np.ndarray, "examples *features"]) -> jax.ShapeDtypeStruct:
    """Shape and type of one of the examples.

    Raises:
        ValueError: `x` has no axis of examples.
    """
    if x.ndim == 0:
        raise ValueError("x is one number: give examples, [examples, ...]")
    return jax.ShapeDtypeStruct(x.shape[1:], x.dtype)


@functools.cache
def _shares():
    return jax.jit(_share_each, static_argnums=0, compiler_options=compiler_options())


def _share_each(
    static: Any,
    arrays: list[Any],
    x: Float[Array, "examples *features"],
    y: Int[Array, "examples"],
    lengths: Int[Array, "examples"] | None,
) -> Float[Array, "examples"]:
    def share(logits_fn, x, y):
        gradient = jax.grad(lambda x: cross_entropy(logits_fn(x), y))(x)
        return own(logits_fn).mean((gradient == 0).astype(jnp.float32))

    return of_each(share, in_float32(join(arrays, static)))(lengths, x, y)
