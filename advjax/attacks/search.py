"""Search for the least constant c at which minimising size + c * loss succeeds.

Source: Carlini and Wagner 2017, arXiv:1608.04644, section V.B; constants of the
authors' code, carlini/nn_robust_attacks.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Search(NamedTuple):
    """The constants tried so far, and the current one.

    Attributes:
        num_runs: constants whose run has ended.
        c: the constant of this run.
        low: the greatest constant that failed.
        high: the least constant that succeeded.
    """

    num_runs: Int[Array, ""]
    c: Float[Array, ""]
    low: Float[Array, ""]
    high: Float[Array, ""]


def begin_search(initial_c: float | Float[Array, ""]) -> Search:
    """The search before its first run."""
    return Search(
        num_runs=jnp.int32(0),
        c=jnp.float32(initial_c),
        low=jnp.float32(0),
        high=jnp.float32(jnp.inf),
    )


def advance_search(
    search: Search, *, over: Bool[Array, ""], found: Bool[Array, ""]
) -> Search:
    """The search with its next constant, once a run is over.

    The constant grows tenfold until one succeeds. From then on it is the middle of the
    greatest constant that failed and the least that succeeded, as in the authors' code.

    Args:
        search: the search during a run.
        over: whether the run has ended; until then the search is unchanged.
        found: whether the run has met a success.
    """
    c, low, high = search.c, search.low, search.high
    low = jnp.where(found, low, jnp.maximum(low, c))
    high = jnp.where(found, jnp.minimum(high, c), high)
    middle = low + (high - low) / 2
    larger = jnp.minimum(10 * c, _LARGEST)
    following = jnp.where(jnp.isfinite(high), middle, larger)
    return Search(
        num_runs=search.num_runs + over.astype(jnp.int32),
        c=jnp.where(over, following, search.c),
        low=jnp.where(over, low, search.low),
        high=jnp.where(over, high, search.high),
    )


_LARGEST = 1e10
"""The authors' bound on c, beyond which it does not grow."""
