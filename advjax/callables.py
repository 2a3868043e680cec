"""Functions that close over arrays, as their arrays and a rest that jit can compare.

One compiled program then serves all weights of a classifier and all scales of a noise.
"""

import functools
import types
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np


def split(function: Callable[..., Any]) -> tuple[list[Any], Hashable]:
    """A function's arrays, to be traced, and a hashable rest that identifies it.

    Raises:
        ValueError: the rest has no hash, so that no program can be kept for it.
    """
    leaves, structure = jax.tree.flatten(_as_pytree(function))
    traced = tuple(isinstance(leaf, jax.Array | np.ndarray) for leaf in leaves)
    arrays = [leaf for leaf, array in zip(leaves, traced, strict=True) if array]
    rest = tuple(
        None if array else leaf for leaf, array in zip(leaves, traced, strict=True)
    )
    static = (structure, traced, rest)
    try:
        hash(static)
    except TypeError as error:
        raise ValueError(
            f"cannot tell one {type(function).__name__} from another ({error}): wrap "
            "it in a function that is defined once, `f = lambda x: model(x)`."
        ) from error
    return arrays, static


def _as_pytree(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with the arrays that it is bound to as leaves."""
    if isinstance(function, types.MethodType):
        # A method of a pytree, as a Classifier's logits: the weights are in the object.
        if not jax.tree_util.all_leaves([function.__self__]):
            return jax.tree_util.Partial(function.__func__, function.__self__)
    elif isinstance(function, functools.partial) and jax.tree_util.all_leaves(
        [function]
    ):
        inner = _as_pytree(function.func)
        return jax.tree_util.Partial(_call, inner, function.args, function.keywords)
    if jax.tree_util.all_leaves([function]):
        return jax.tree_util.Partial(function)
    return function


def _call(function, args, keywords, x, *more):
    return function(*args, x, *more, **keywords)


def join(arrays: list[Any], static: Any) -> Callable[..., Any]:
    """The function that `split` took apart, with other arrays if given."""
    structure, traced, rest = static
    remaining = iter(arrays)
    leaves = [
        next(remaining) if array else leaf
        for leaf, array in zip(rest, traced, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)
