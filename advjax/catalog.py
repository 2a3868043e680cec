"""The grammar of choices: `name` or `name(option=literal, ...)`.

A table is a plain dict from name to callable. Text from a flag or a file is parsed with
`ast` and never evaluated: options are Python literals, of the types that the callable's
parameters are annotated with.
"""

import ast
import inspect
import math
import numbers
import os
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from advjax.runtime.text import did_you_mean

_OF_FLAX = frozenset({"parent", "name"})
"""Fields that Flax adds to every module; they are no options of a network."""
_WORDS = {
    bool: "True or False",
    int: "a whole number",
    float: "a finite number",
    str: "a text in quotes",
    types.NoneType: "None",
}


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Split a choice into its name and its options.

    Args:
        text: `name` or `name(option=literal, ...)`.

    Returns:
        The name, and the options as a dict from name to literal.

    Raises:
        ValueError: the text is not of that form.
    """
    complaint = (
        f"cannot read the choice {text!r}: write name or name(option=value), where "
        "every value is a number, a quoted text, True, False, None or a tuple of these"
    )
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise ValueError(complaint) from error
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(complaint)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(complaint)
    names = [keyword.arg for keyword in node.keywords]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"cannot read the choice {text!r}: {', '.join(sorted(repeated))} is given "
            "more than once"
        )
    try:
        options = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    except (ValueError, TypeError, MemoryError, RecursionError) as error:
        raise ValueError(complaint) from error
    return node.func.id, options


def pick(text: str, table: Mapping[str, Callable[..., Any]], /, **defaults: Any) -> Any:
    """Build the member of a table that a text names.

    Args:
        text: a choice, as for `parse`.
        table: callables by name.
        **defaults: options that the member gets if it has them and `text` has not.

    Raises:
        ValueError: see `build`.
    """
    return build(*parse(text), table, **defaults)


def build(
    name: str,
    options: Mapping[str, Any],
    table: Mapping[str, Callable[..., Any]],
    /,
    **defaults: Any,
) -> Any:
    """Build the member of a table that has a name.

    Args:
        name: of the member.
        options: values by parameter.
        table: callables by name.
        **defaults: options that the member gets if it has them and `options` has not.

    Raises:
        ValueError: an unknown name or option, a missing option, one of another type
            than annotated, or one that the member refuses. The message names it.
    """
    accepted = parameters(name, table)
    sayable = [option for option in accepted if can_be_said(accepted[option])]
    if unknown := sorted(set(options) - set(accepted)):
        raise ValueError(
            f"{name} has no option {', '.join(unknown)}."
            f"{did_you_mean(unknown[0], sayable)} It has: "
            f"{', '.join(sayable) or 'none'}"
        )
    given = {k: v for k, v in defaults.items() if k in accepted} | dict(options)
    required = {p.name for p in accepted.values() if p.default is p.empty}
    if missing := sorted(required - set(given)):
        raise ValueError(
            f"{name} needs the option {', '.join(missing)}: write "
            f"{name}({', '.join(f'{option}=...' for option in missing)})"
        )
    for option, value in given.items():
        if not fits(value, accepted[option].annotation):
            raise ValueError(
                f"{name}({option}={_shown(value)}): {option} must be "
                f"{expected(accepted[option])}"
            )
    try:
        return table[name](**given)
    except ValueError as error:
        if type(error) is not ValueError:
            raise
        words = str(error)
        if not any(option in words for option in options):
            spelled = ", ".join(f"{k}={_shown(v)}" for k, v in options.items())
            words = f"{name}({spelled}): {words}" if options else words
        raise ValueError(words if name in words else f"{name}: {words}") from error


def parameters(
    name: str, table: Mapping[str, Callable[..., Any]]
) -> dict[str, inspect.Parameter]:
    """The options of a member of a table, with annotations and defaults.

    Raises:
        ValueError: there is no such member; the message lists the members.
    """
    if name not in table:
        raise ValueError(
            f"unknown choice {name!r}.{did_you_mean(name, table)} There are: "
            f"{', '.join(table)}"
        )
    hidden = _OF_FLAX if _is_flax_module(table[name]) else frozenset()
    return {
        p.name: p
        for p in inspect.signature(table[name]).parameters.values()
        if p.name not in hidden and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    }


def _is_flax_module(build: Callable[..., Any]) -> bool:
    # By name: this module is imported where Flax is not.
    lineage = build.__mro__ if inspect.isclass(build) else ()
    return any(base.__module__.startswith("flax.linen") for base in lineage)


def fits(value: Any, annotation: Any) -> bool:
    """True if a value is of the type that a parameter is annotated with.

    A whole number fits float; True fits neither int nor float. Numbers are finite, but
    for those in tuples, which may be ranges. A list fits a tuple.
    """
    if annotation in (inspect.Parameter.empty, Any):
        return True
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, each) for each in inner)
    if origin is typing.Literal:
        return any(value == each and type(value) is type(each) for each in inner)
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return (
            isinstance(value, tuple | list)
            and len(value) == len(inner)
            and all(map(_fits_inside, value, inner))
        )
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return isinstance(value, tuple | list) and all(
            _fits_inside(each, inner[0]) for each in value
        )
    return _fits_plain(value, origin or annotation)


def _fits_inside(value: Any, annotation: Any) -> bool:
    """`fits` for a member of a tuple: a number may be infinite, ending a range."""
    endless = annotation is float and isinstance(value, float) and math.isinf(value)
    return endless or fits(value, annotation)


def _fits_plain(value: Any, annotation: Any) -> bool:
    if annotation is None or annotation is types.NoneType:
        return value is None
    if annotation is int:
        whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
        return whole and abs(value) < 2**63
    if annotation is float:
        return _is_finite(value)
    if _is_of_arrays(annotation):
        return hasattr(value, "shape") and hasattr(value, "dtype")
    return isinstance(value, annotation) if inspect.isclass(annotation) else True


def _is_finite(value: Any) -> bool:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _is_of_arrays(annotation: Any) -> bool:
    """True for annotations of jaxtyping."""
    return hasattr(annotation, "array_type")


def can_be_said(parameter: inspect.Parameter) -> bool:
    """True if a literal can give the option."""
    free = parameter.annotation is parameter.empty
    return free or _words(parameter.annotation) != ""


def expected(parameter: inspect.Parameter) -> str:
    """Words for the values that an option takes, and its default if there is one."""
    words = _words(parameter.annotation) or "an object that only Python code can give"
    default = parameter.default
    if default is parameter.empty or not can_be_said(parameter):
        return words
    return f"{words}; its default is {_shown(default)}"


def _words(annotation: Any) -> str:
    """Words for the literals of an annotation; empty where there are none."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(filter(None, map(_words, inner))))
    if origin is typing.Literal:
        return " or ".join(map(repr, inner))
    if origin is tuple and inner[-1:] != (Ellipsis,):
        return f"a tuple of {len(inner)}: ({', '.join(map(_words, inner))})"
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        return f"a tuple of which each is {_words(inner[0])}"
    if annotation is None:
        return "None"
    if _is_of_arrays(annotation) or not inspect.isclass(annotation):
        return ""
    if issubclass(annotation, os.PathLike):
        return _WORDS[str]
    return _WORDS.get(annotation, "")


def _shown(value: Any) -> str:
    """A value for a message; a long one is cut."""
    try:
        text = repr(value)
    except ValueError:  # a whole number of thousands of digits
        text = f"a number of about {round(value.bit_length() * 0.30103)} digits"
    return text if len(text) <= 60 else f"{text[:57]}..."
