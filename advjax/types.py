"""The words every part of advjax shares."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

Key = PRNGKeyArray
Wave = Float[Array, "time"]
"""Mono audio, float32, in [-1, 1]."""
Features = Float[Array, "*features"]
"""One example at whatever stage of its chain, a waveform included."""
Source = Float[Array, "*source"]
"""One example at the stage before, where a function changes the shape."""
Logits = Float[Array, "classes"]
Label = Int[Array, ""]
Bounds = tuple[float, float]
"""Least and greatest value an entry may take."""
PyTree = Any
AnyArray = Any
"""A caller's argument for an array; checked in words, not by annotation."""
AnyCallable = Any
"""A caller's argument for a `LogitsFn`; checked in words, too."""

LogitsFn = Callable[[Features], Logits]
"""One example in, one row of logits out; pure, with no batch axis.

A pytree callable (`jax.tree_util.Partial` over the weights) lets `jit` trace once for
every classifier of a kind; a plain function works too and is traced once for itself.
"""


class Batch(NamedTuple):
    """Examples side by side, at one stage of their chain."""

    x: Float[Array, "batch *features"]
    y: Int[Array, "batch"]
    verified: Bool[Array, "batch"] | None = None
    """Whether a person has checked the label, where the corpus tells."""
