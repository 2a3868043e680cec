"""Checks of a foreign network at load, on random clips."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from advjax.arguments import num_classes
from advjax.interop.black_box import Batch
from advjax.interop.pytorch import not_rows
from advjax.representations import Representation
from advjax.runtime.patience import PATIENCE_S, patience
from advjax.types import LogitsFn

CLIPS = 3
TOLERANCE = 1e-3
"""Largest difference of logits, relative to the largest; float32 gives about 1e-6."""


class Original(NamedTuple):
    """A network as its own framework evaluates it.

    Attributes:
        framework: its name; empty where JAX calls the very same function.
        call: a batch of examples to rows of logits; None for a function of JAX.
        remark: on the recurrent layers of a PyTorch module; empty without.
    """

    framework: str
    call: Callable[[Batch], Any] | None
    remark: str


class Compared(NamedTuple):
    """Result of `compare`: the number of classes, and sentences for people."""

    num_classes: int
    remarks: tuple[str, ...]


def compare(
    network: LogitsFn,
    original: Original,
    representation: Representation,
    *,
    title: str,
) -> Compared:
    """Check a network, and compare its logits with the original's.

    Args:
        network: the logits function.
        original: the network in its own framework.
        representation: of the network's input.
        title: of the network, for messages.

    Raises:
        ValueError: other outputs than rows of finite logits, outputs that change from
            call to call or with the other examples of a batch, or that differ from the
            original's.
    """
    x = _clips(representation)
    remarks = [original.remark] if original.remark else []
    native = None
    if original.call is not None:
        native = _rows(original.call, x, title)
        _same(native, _rows(original.call, x, title), "two calls", _NOT_ALIKE)
        alone = np.concatenate([_rows(original.call, each[None], title) for each in x])
        _same(native, alone, "a batch and its examples alone", _NOT_ALONE)
    classes = num_classes(network, jax.ShapeDtypeStruct(x.shape[1:], np.float32))
    if original.call is None or original.framework:
        with patience(f"{title} {_COMPILES_LONG}"):
            ours = np.asarray(jax.jit(jax.vmap(network))(x))
        _check_finite(ours)
        if native is None:
            # Traced anew: numbers drawn while tracing are others then.
            again = np.asarray(jax.jit(jax.vmap(network))(x))
            _same(ours, again, "two calls", _NOT_ALIKE)
        else:
            _same(ours, native, f"JAX and {original.framework}", _NOT_EQUAL)
            most = np.abs(ours - native).max()
            remarks.append(
                f"Logits of JAX and {original.framework} differ by {most:.1e} at most "
                f"on {CLIPS} random clips."
            )
    return Compared(classes, tuple(remarks))


_COMPILES_LONG = (
    f"has been compiling for {PATIENCE_S} s, as recurrent layers do, which are "
    "unrolled over time. Gradients take longer still: without them, give "
    "black_box=True or onnx:FILE."
)
_NOT_ALIKE = "put it into evaluation mode, and draw no random numbers"
_NOT_ALONE = "it must not depend on the other examples of a batch"
_NOT_EQUAL = "with black_box=True the original itself is called, without gradients"


def _clips(representation: Representation) -> Float[np.ndarray, "clips *features"]:
    """Random clips at the network's input."""
    waves = random_waves(representation.num_samples)
    return np.array(jax.jit(jax.vmap(representation.apply))(waves))


def random_waves(num_samples: int) -> Float[np.ndarray, "clips samples"]:
    """Clips of noise of -20 dBFS, with a seed."""
    waves = np.random.default_rng(0).normal(0, 0.1, (CLIPS, num_samples))
    return waves.clip(-1, 1).astype(np.float32)


def _rows(call: Callable[[Batch], Any], x: Batch, title: str) -> Any:
    """Rows of logits of a batch.

    Raises:
        ValueError: the network fails, or returns something else.
    """
    try:
        found = call(x)
    except Exception as error:
        reason = (str(error).strip() or "no reason given").splitlines()[0][:300]
        raise ValueError(
            f"it fails on a batch of shape {list(x.shape)} ({type(error).__name__}: "
            f"{reason})"
        ) from error
    if getattr(found, "ndim", 0) != 2 or len(found) != len(x):
        raise ValueError(
            f"for a batch of shape {list(x.shape)}, {not_rows(title, found)}"
        )
    _check_finite(found)
    return np.asarray(found, np.float32)


def _check_finite(rows: Float[np.ndarray, "clips classes"]) -> None:
    if not np.isfinite(rows).all():
        raise ValueError("its logits of random clips are not finite")


def _same(one: Any, other: Any, between: str, advice: str) -> None:
    """Refuse two results that differ by more than rounding."""
    scale = max(float(np.abs(one).max()), 1e-3)
    most = float(np.abs(one - other).max())
    if not most <= TOLERANCE * scale:
        raise ValueError(
            f"its logits differ by {most:.2g} between {between}, at values up to "
            f"{scale:.2g}: {advice}"
        )
