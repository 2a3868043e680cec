"""The one grammar for choices: `name` or `name(option=literal, ...)`.

A family is a plain dict from name to callable. Text from a flag or a file is parsed
with `ast` and never evaluated: options can only be Python literals.
"""

import ast
import difflib
import inspect
from collections.abc import Callable, Mapping
from typing import Any


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """The name and the options in `text`.

    Args:
        text: `name` or `name(option=literal, ...)`.

    Returns:
        The name, and a dict from option to literal value.

    Raises:
        ValueError: the text is not of that form.
    """
    complaint = (
        f"cannot read the choice {text!r}: write name or name(option=value), where "
        "every value is a number, a quoted text, True, False, None or a tuple of these"
    )
    try:
        node = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise ValueError(complaint) from error
    if isinstance(node, ast.Name):
        return node.id, {}
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise ValueError(complaint)
    if node.args or any(keyword.arg is None for keyword in node.keywords):
        raise ValueError(complaint)
    try:
        options = {k.arg: ast.literal_eval(k.value) for k in node.keywords}
    except ValueError as error:
        raise ValueError(complaint) from error
    return node.func.id, options


def pick(text: str, table: Mapping[str, Callable[..., Any]], **defaults: Any) -> Any:
    """The member of `table` that `text` names, built with the options in `text`.

    Args:
        text: a choice, as for `parse`.
        table: a family's table of contents.
        **defaults: options passed when the member takes them and `text` is silent.

    Raises:
        ValueError: an unknown name or option; the message lists what there is.
    """
    name, options = parse(text)
    if name not in table:
        near = difflib.get_close_matches(name, table, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(
            f"unknown choice {name!r}.{hint} There are: {', '.join(table)}"
        )
    build = table[name]
    accepted = inspect.signature(build).parameters
    unknown = sorted(set(options) - set(accepted))
    if unknown:
        raise ValueError(
            f"{name} has no option {', '.join(unknown)}; it has: "
            f"{', '.join(accepted) or 'none'}"
        )
    given = {k: v for k, v in defaults.items() if k in accepted} | options
    required = [
        p.name
        for p in accepted.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    missing = sorted(set(required) - set(given))
    if missing:
        raise ValueError(f"{name} needs the option {', '.join(missing)}")
    return build(**given)
