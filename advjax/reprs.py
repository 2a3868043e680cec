"""Short texts for `repr`: the call that makes a thing, without any weights."""

import dataclasses
import functools
import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Factory = TypeVar("Factory", bound=Callable[..., Any])

_LONGEST = 60
"""Characters of a value; a longer one is cut."""


def keep_call(make: Factory) -> Factory:
    """Decorate a factory of named tuples: each result keeps the call that made it.

    Args:
        make: returns a named tuple with a field `call` and `__repr__ = call_or_fields`.

    Returns:
        The factory. The `repr` of its results is its name and the options given, as in
        `pgd(num_steps=40)`.
    """
    signature = inspect.signature(make)

    @functools.wraps(make)
    def make_and_keep(*args, **options):
        made = make(*args, **options)
        given = signature.bind(*args, **options).arguments
        return made._replace(call=call_text(make.__name__, given))

    return make_and_keep


def call_text(name: str, options: Mapping[str, Any]) -> str:
    """The call `name(option=value, ...)`, with arrays as `float32[3, 4]`."""
    return f"{name}({', '.join(f'{k}={_text(v)}' for k, v in options.items())})"


def call_or_fields(made: Any) -> str:
    """The call that made a named tuple, or the plain fields of a handmade one."""
    if made.call:
        return made.call
    plain = {
        name: value
        for name, value in made._asdict().items()
        if name != "call" and not callable(value)
    }
    return call_text(type(made).__name__, plain)


def changed_fields(made: Any) -> str:
    """A dataclass as the call with those of its fields that are not the default."""
    shown = [field for field in dataclasses.fields(made) if field.repr]
    changed = {
        field.name: value
        for field in shown
        if (value := getattr(made, field.name)) != field.default
    }
    return call_text(type(made).__name__, changed)


def _text(value: Any) -> str:
    if isinstance(value, numbers.Number) and hasattr(value, "item"):
        return repr(value.item())
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{value.dtype}{list(value.shape)}"
    if callable(value):
        inner = getattr(value, "func", value)
        return getattr(inner, "__name__", type(value).__name__)
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
