"""Partition a callable into traced arrays and a hashable static part.

One compiled program then serves all weights of a classifier and all scales of a noise.
"""

import functools
import inspect
import types
from collections.abc import Callable, Hashable
from typing import Any

import jax
import numpy as np

_ARRAYS = (jax.Array, np.ndarray, jax.ShapeDtypeStruct)
"""Leaves to trace; the last stands for an array in a program that is only compiled."""


def is_array(leaf: Any) -> bool:
    """Tell whether `split` takes a leaf of a function for an array, to be traced."""
    return isinstance(leaf, _ARRAYS)


def split(function: Callable[..., Any]) -> tuple[list[Any], Hashable]:
    """A function's arrays, to be traced, and a hashable rest that identifies it.

    A part that cannot be compared is told from others by identity, as a plain function
    is.
    """
    leaves, structure = jax.tree.flatten(_as_pytree(function))
    traced = tuple(map(is_array, leaves))
    arrays = [leaf for leaf, array in zip(leaves, traced, strict=True) if array]
    rest = tuple(
        None if array else _hashable(leaf)
        for leaf, array in zip(leaves, traced, strict=True)
    )
    static = _Static((structure, traced, rest))
    try:
        hash(static)
    except TypeError:
        # The structure itself has no hash.
        structure = jax.tree.structure(jax.tree_util.Partial(_Same(function)))
        return [], _Static((structure, (), ()))
    return arrays, static


class UnusableNetwork(ValueError):
    """A network cannot be used; the message says why and what to do."""


class _Static(tuple):
    """A tuple that differs from what it cannot be compared with.

    Metadata that are arrays, for one, have no single truth value to compare by.
    """

    __hash__ = tuple.__hash__

    def __eq__(self, other: object) -> bool:
        try:
            return isinstance(other, _Static) and tuple.__eq__(self, other)
        except (TypeError, ValueError):
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other


def join(arrays: list[Any], static: Any) -> Callable[..., Any]:
    """The function that `split` took apart, with other arrays if given."""
    structure, traced, rest = static
    remaining = iter(arrays)
    leaves = [
        next(remaining) if array else _plain(leaf)
        for leaf, array in zip(rest, traced, strict=True)
    ]
    return jax.tree.unflatten(structure, leaves)


# Traced once for all programs of a classifier: half of what a start with cached
# programs takes is tracing.
@functools.partial(jax.jit, static_argnums=0, inline=True)
def apply(static: Any, arrays: list[Any], x: Any) -> Any:
    """The function's value at `x`; refuses a function that changes as it is traced.

    Raises:
        ValueError: an array that the function holds is another one after the call.
    """
    return apply_unchanged(join(arrays, static), x)


def apply_unchanged(function: Callable[..., Any], x: Any) -> Any:
    """`function(x)`, called while tracing; refuses a function that changes.

    Raises:
        ValueError: an array that the function holds is another one after the call.
    """
    leaves, structure = jax.tree.flatten(function)
    held = _held(function)
    value = function(x)
    after = _held(function)
    changed = [
        path
        for path, (owner, name, array) in after.items()
        if (path in held and held[path][2] is not array)
        or (path not in held and isinstance(array, jax.core.Tracer))
    ]
    if not changed:
        # What its own flattening shows, such as the variables of a Flax NNX module.
        again, same = jax.tree.flatten(function)
        changed = [
            jax.tree_util.keystr(path)
            for (path, new), old in zip(
                jax.tree_util.tree_leaves_with_path(function), leaves, strict=False
            )
            if new is not old and not _equal(new, old)
        ]
        if not changed and (len(again) != len(leaves) or not _equal(same, structure)):
            changed = ["its structure"]
    if changed:
        for path, (owner, name, array) in held.items():
            if path in after and after[path][2] is not array:
                _put_back(owner, name, array)
        raise ValueError(changes_while_it_runs(changed[0]))
    return value


def changes_while_it_runs(what: str) -> str:
    """The refusal of a network that is not a function of its input alone."""
    return (
        f"the network changes while it runs ({what} is another after a call), as batch "
        "norm and dropout do in training: no two calls answer alike, and nothing found "
        "here would hold for the network in use. Put it into evaluation mode first, as "
        "net.eval() in Flax NNX or train=False in Flax Linen."
    )


_MOST_OBJECTS = 10_000


def _held(function: Any) -> dict[str, tuple[Any, Any, Any]]:
    """By path, (owner, name, array) for each array that plain objects hold.

    Followed are closures, globals that the code names, bound objects, attributes and
    containers, as far as `_MOST_OBJECTS` of them.
    """
    found: dict[str, tuple[Any, Any, Any]] = {}
    seen: set[int] = set()
    waiting = [("the function", None, None, function)]
    while waiting and len(seen) < _MOST_OBJECTS:
        path, owner, name, value = waiting.pop()
        if isinstance(value, jax.Array | np.ndarray):
            found[path] = (owner, name, value)
        elif id(value) not in seen:
            seen.add(id(value))
            waiting += [
                (f"{path}{step}", value, key, inner)
                for step, key, inner in _inside(value)
                if not isinstance(inner, _UNCHANGING)
            ]
    return found


class Unchanging:
    """A callable of this package that never changes, and is not searched."""


_UNCHANGING = (
    type(None), bool, int, float, complex, str, bytes, type, np.generic, np.dtype,
    types.ModuleType, types.BuiltinFunctionType, Unchanging,
)  # fmt: skip


def _inside(value: Any) -> list[tuple[str, Any, Any]]:
    """Content of one object, as (step of the path, key, value)."""
    if isinstance(value, dict):
        # A copy made at once: the collector may empty tables of weak references.
        items = dict.copy(value).items()
        return [(f"[{key!r}]", key, inner) for key, inner in items]
    if isinstance(value, list | tuple):
        return [(f"[{key}]", key, inner) for key, inner in enumerate(value)]
    if isinstance(value, types.MethodType):
        return [("", None, value.__self__), ("", None, value.__func__)]
    if isinstance(value, functools.partial):
        return [
            ("", None, value.func),
            ("", None, value.args),
            ("", None, value.keywords),
        ]
    parts = []
    if isinstance(value, types.FunctionType):
        parts += _closed_over(value)
    wrapped = inspect.getattr_static(value, "__wrapped__", None)
    if wrapped is not None:
        parts.append(("", None, getattr(value, "__wrapped__", None)))
    attributes = getattr(value, "__dict__", None)
    if isinstance(attributes, dict):
        parts += [(f".{name}", name, inner) for name, inner in attributes.items()]
    for kind in type(value).__mro__:
        slots = kind.__dict__.get("__slots__", ())
        parts += [
            (f".{name}", name, getattr(value, name))
            for name in ((slots,) if isinstance(slots, str) else slots)
            if isinstance(name, str) and name != "__dict__" and hasattr(value, name)
        ]
    return parts


def _closed_over(function: types.FunctionType) -> list[tuple[str, Any, Any]]:
    names, parts = function.__code__.co_freevars, []
    for name, cell in zip(names, function.__closure__ or (), strict=False):
        try:
            parts.append((f".{name}", cell, cell.cell_contents))
        except ValueError:  # not assigned yet
            continue
    if (function.__module__ or "").partition(".")[0] not in _LIBRARIES:
        parts += [
            (f".{name}", None, function.__globals__[name])
            for name in _names(function.__code__)
            if name in function.__globals__
        ]
    defaults = (function.__defaults__ or (), *(function.__kwdefaults__ or {}).values())
    return [*parts, *(("", None, inner) for inner in defaults)]


_LIBRARIES = ("advjax", "flax", "jax", "jaxlib", "jaxtyping", "numpy", "optax")
"""Whose globals no network changes."""


def _names(code: types.CodeType) -> list[str]:
    """Global names in a function's code and in the functions inside it."""
    inner = [const for const in code.co_consts if isinstance(const, types.CodeType)]
    return [*code.co_names, *(name for const in inner for name in _names(const))]


def _put_back(owner: Any, name: Any, array: Any) -> None:
    """Undo a change, so that no tracer stays in the caller's own objects."""
    try:
        if isinstance(owner, dict | list):
            owner[name] = array
        elif isinstance(name, types.CellType):
            name.cell_contents = array
        elif isinstance(name, str):
            setattr(owner, name, array)
    except Exception:  # noqa: BLE001  a module may refuse in its own way
        return


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, jax.Array | np.ndarray) or isinstance(
        other, jax.Array | np.ndarray
    ):
        return False
    try:
        return bool(one == other)
    except Exception:  # noqa: BLE001  a user's own comparison
        return True


class _Same:
    """A value that is equal to itself alone."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)

    def __call__(self, *args, **keywords):
        return self.value(*args, **keywords)


def _hashable(leaf: Any) -> Hashable:
    try:
        hash(leaf)
    except TypeError:
        return _Same(leaf)
    return leaf


def _plain(leaf: Any) -> Any:
    return leaf.value if isinstance(leaf, _Same) else leaf


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
        return jax.tree_util.Partial(_hashable(function))
    return function


def _call(function, args, keywords, x, *more):
    return function(*args, x, *more, **keywords)
