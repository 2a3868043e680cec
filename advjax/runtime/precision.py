"""Precision of a network's products, forwards and backwards.

JAX's default is tf32 on an NVIDIA GPU and bfloat16 on a TPU, also for arrays of
float32. So every product's precision is chosen: by the product itself, or by the
context in which a network is traced.
"""

import contextlib
import functools
from collections.abc import Callable
from typing import Any

import jax

from advjax.runtime import targets

PRECISIONS = {
    "float32": "all in float32",
    "tf32": "float32 arrays whose products keep 10 bits of fraction: NVIDIA GPUs",
    "bfloat16": "maps and kernels of the network in bfloat16, its end in float32",
}
"""Precisions of a network's evaluation or training.

In training, weights, loss, batch statistics and the optimiser are float32 in each.
"""


def check_known(precision: str) -> None:
    """Refuse a precision that is none of `PRECISIONS`.

    Raises:
        ValueError: the message lists them.
    """
    if precision not in PRECISIONS:
        raise ValueError(
            f"precision={precision!r}: choose one of {', '.join(PRECISIONS)}"
        )


def check_precision(precision: str) -> None:
    """Refuse a precision that is unknown or that the backend lacks.

    Raises:
        ValueError: the precision cannot be used; the message lists what can.
    """
    check_known(precision)
    if precision == "tf32" and targets.platform() != "gpu":
        raise ValueError(
            f"precision='tf32' needs an NVIDIA GPU, but the backend is "
            f"{targets.platform()}: choose float32 or bfloat16"
        )


def products_in(precision: str) -> contextlib.AbstractContextManager[Any]:
    """The context for tracing products of a network in one of `PRECISIONS`."""
    return jax.default_matmul_precision(
        "tensorfloat32" if precision == "tf32" else "float32"
    )


def custom_vjp(
    function: Callable[..., Any],
    forward: Callable[..., Any],
    backward: Callable[..., Any],
    *,
    static: tuple[int, ...] = (),
) -> Callable[..., Any]:
    """Define a gradient whose products have the precision of the function's context.

    JAX traces the passes of a `jax.custom_vjp` later than the call, outside the context
    of its caller: their products would have the backend's default precision.

    Args:
        function: the function.
        forward: its result and the residuals for the backward pass.
        backward: the cotangents of the arguments.
        static: positions of arguments that are no arrays; they are hashed.
    """

    @functools.cache
    def in_precision(precision):
        def kept(part):
            def run(*arguments):
                with jax.default_matmul_precision(precision):
                    return part(*arguments)

            return run

        wrapped = jax.custom_vjp(kept(function), nondiff_argnums=static)
        wrapped.defvjp(kept(forward), kept(backward))
        return wrapped

    @functools.wraps(function)
    def call(*arguments):
        precision = jax.config.jax_default_matmul_precision
        return in_precision(precision)(*arguments)

    return call
