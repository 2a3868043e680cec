"""Operations of traced programs: the functions that they call, and how to do them."""

from collections.abc import Sequence
from typing import Any

import jax.extend.core as jex

_BODIES = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "checkpoint": "jaxpr",
    "remat2": "jaxpr",
}
"""The parameter that holds the body of a called function, by the operation."""


def body_of(operation: jex.JaxprEqn) -> jex.ClosedJaxpr | None:
    """The body of the function that an operation calls; None if it calls none."""
    if (name := _BODIES.get(operation.primitive.name)) is None:
        return None
    body = operation.params[name]
    return body if isinstance(body, jex.ClosedJaxpr) else jex.ClosedJaxpr(body, ())


def done(operation: jex.JaxprEqn, inputs: Sequence[Any]) -> Sequence[Any]:
    """The results of an operation; under a trace it becomes part of the program."""
    params = operation.primitive.get_bind_params(operation.params)
    found = operation.primitive.bind(*inputs, **params)
    return found if operation.primitive.multiple_results else [found]
