"""JSON files, read strictly: limits on the text, and a schema for the content.

A schema is built from the classes of this module:

    Fields({"label": Integer(0, 9), "id": Text()}, optional={"note": Anything()})

A value that does not fit raises `Damaged`, which names the file and the place in it.
"""

import dataclasses
import json
import math
import os
import pathlib
import re
import reprlib
import stat
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

from advjax.runtime.damage import Damaged
from advjax.runtime.text import printable

MAX_BYTES = 1 << 28
MAX_DEPTH = 64


@runtime_checkable
class Schema(Protocol):
    """A type of JSON value."""

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complaints about `value`, which lies at `place`, worst first."""
        ...


@dataclasses.dataclass(frozen=True)
class Anything:
    """Any JSON value."""

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Yield no complaint."""
        yield from ()


@dataclasses.dataclass(frozen=True)
class Exactly:
    """One value and no other."""

    value: Any

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about another value."""
        if json.dumps(value, sort_keys=True) != json.dumps(self.value, sort_keys=True):
            yield _not(place, json.dumps(self.value), value)


@dataclasses.dataclass(frozen=True)
class Integer:
    """A whole number, no boolean, from `low` to `high`; None is no limit."""

    low: int | None = None
    high: int | None = None

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about another type, or a value outside the limits."""
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not _within(value, self.low, self.high):
            yield _not(place, f"a whole number{_limits(self.low, self.high)}", value)


@dataclasses.dataclass(frozen=True)
class Number:
    """A number from `low` to `high`; None is no limit, and allows infinity."""

    low: float | None = None
    high: float | None = None

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about another type, or a value outside the limits."""
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not _within(value, self.low, self.high):
            yield _not(place, f"a number{_limits(self.low, self.high)}", value)


@dataclasses.dataclass(frozen=True)
class Text:
    """A text.

    Attributes:
        choices: allowed texts; any if None.
        empty: allow the empty text.
        plain: allow printable characters only, as in names and ids.
        pattern: a regular expression that the whole text matches; any text if None.
    """

    choices: tuple[str, ...] | None = None
    empty: bool = False
    plain: bool = False
    pattern: str | None = None

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about another type, or a text that is not allowed."""
        if not isinstance(value, str):
            yield _not(place, "text", value)
        elif self.choices is not None and value not in self.choices:
            yield _not(place, " or ".join(map(repr, self.choices)), value)
        elif not value and not self.empty and self.choices is None:
            yield _not(place, "text that is not empty", value)
        elif self.plain and not value.isprintable():
            yield _not(place, "text of printable characters", value)
        elif self.pattern is not None and not re.fullmatch(self.pattern, value):
            yield _not(place, f"text of the form {self.pattern}", value)


@dataclasses.dataclass(frozen=True)
class Items:
    """A list whose items are all of one type.

    Attributes:
        of: schema of the items.
        low: the smallest length.
        high: the largest length; None is no limit.
        distinct: no item occurs twice.
    """

    of: Schema = Anything()
    low: int = 0
    high: int | None = None
    distinct: bool = False

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about the list, then about its items."""
        if not isinstance(value, list):
            yield _not(place, "a list", value)
            return
        if not _within(len(value), self.low, self.high):
            limits = _limits(self.low, self.high)
            yield f"{_at(place)} should be of length{limits}, and has {len(value)}"
        for index, item in enumerate(value):
            yield from self.of.complaints(item, f"{place}[{index}]")
        if self.distinct and len({json.dumps(item) for item in value}) < len(value):
            yield f"{_at(place)} should hold each item once, and one occurs twice"


@dataclasses.dataclass(frozen=True)
class Table:
    """An object with any keys, whose values are all of one type.

    Attributes:
        of: schema of the values.
        key: schema of the keys.
        low: the smallest number of keys.
    """

    of: Schema = Anything()
    key: Schema = Text()
    low: int = 0

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about the object, then about its keys and values."""
        if not isinstance(value, dict):
            yield _not(place, "an object", value)
            return
        if len(value) < self.low:
            size = len(value)
            yield f"{_at(place)} should have {self.low} keys or more, and has {size}"
        for name, item in value.items():
            yield from self.key.complaints(name, f"a key of {_at(place)}")
            yield from self.of.complaints(item, _inside(place, name))


@dataclasses.dataclass(frozen=True)
class Fields:
    """An object with known keys.

    Attributes:
        required: schema of each key that must be there.
        optional: schema of each key that may be there.
        open: allow other keys, with any value.
    """

    required: Mapping[str, Schema] = dataclasses.field(default_factory=dict)
    optional: Mapping[str, Schema] = dataclasses.field(default_factory=dict)
    open: bool = False

    def complaints(self, value: Any, place: str) -> Iterator[str]:
        """Complain about the object, then about its values."""
        if not isinstance(value, dict):
            yield _not(place, "an object", value)
            return
        for name in self.required:
            if name not in value:
                yield f"{_inside(place, name)} is missing"
        for name, item in value.items():
            schema = self.required.get(name) or self.optional.get(name)
            if schema is not None:
                yield from schema.complaints(item, _inside(place, name))
            elif not self.open:
                known = ", ".join((*self.required, *self.optional)) or "none"
                yield f"{_inside(place, name)} is unknown; the keys are {known}"


def read_json(
    path: str | os.PathLike[str],
    schema: Schema,
    *,
    advice: str = "",
    max_bytes: int = MAX_BYTES,
    finite: bool = True,
) -> Any:
    """Content of a JSON file, which fits `schema`.

    Args:
        path: the file.
        schema: of the value in it.
        advice: sentence on what to do about a damaged file.
        max_bytes: a larger file is damaged.
        finite: refuse NaN and infinite numbers.

    Raises:
        OSError: the file is missing or cannot be read.
        Damaged: it is no JSON in UTF-8, has a key twice, is too large or too deep, or
            does not fit.
    """
    path = pathlib.Path(path)
    with open(path, "rb", opener=_open) as file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise _damage(path, "it is not a plain file", advice)
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise _damage(path, f"it is larger than {max_bytes} bytes", advice)
    return parse_json(content, schema, name=path, advice=advice, finite=finite)


def parse_json(
    content: bytes,
    schema: Schema,
    *,
    name: str | os.PathLike[str],
    advice: str = "",
    finite: bool = True,
) -> Any:
    """Value of a JSON text, which fits `schema`.

    Args:
        content: the text, in UTF-8.
        schema: of the value in it.
        name: of the source of the text, for messages.
        advice: sentence on what to do about damage.
        finite: refuse NaN and infinite numbers.

    Raises:
        Damaged: as `read_json`.
    """
    try:
        value = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_doubles,
            **({"parse_float": _finite, "parse_constant": _finite} if finite else {}),
        )
    except RecursionError as error:
        raise _damage(name, f"it is nested deeper than {MAX_DEPTH}", advice) from error
    except UnicodeDecodeError as error:
        reason = f"byte {error.start} is not UTF-8"
        raise _damage(name, reason, advice) from error
    except ValueError as error:
        raise _damage(name, f"it is not valid JSON ({error})", advice) from error
    if _is_deeper(value, MAX_DEPTH):
        raise _damage(name, f"it is nested deeper than {MAX_DEPTH}", advice)
    check(value, schema, name=name, advice=advice)
    return value


def check(
    value: Any, schema: Schema, *, name: str | os.PathLike[str], advice: str = ""
) -> None:
    """Refuse a value that does not fit `schema`.

    Raises:
        Damaged: it does not fit; the message names the first wrong place.
    """
    complaint = next(iter(schema.complaints(value, "")), None)
    if complaint is not None:
        raise _damage(name, complaint, advice)


def _damage(name: str | os.PathLike[str], reason: str, advice: str) -> Damaged:
    stop = f". {advice}" if advice else ""
    return Damaged(f"{printable(os.fspath(name))} is damaged: {reason}{stop}")


def _open(path: str, flags: int) -> int:
    """Open a file without waiting for the writer of a named pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        double = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {double!r} occurs twice")
    return found


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is not a finite number")
    return value


def _is_deeper(value: Any, depth: int) -> bool:
    """True if lists and objects are nested deeper than `depth`."""
    level = [value]
    for _ in range(depth + 1):
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return False
        level = [
            inner
            for item in containers
            for inner in (item.values() if isinstance(item, dict) else item)
        ]
    return any(isinstance(item, dict | list) for item in level)


def _within(value: float, low: float | None, high: float | None) -> bool:
    return (low is None or value >= low) and (high is None or value <= high)


def _limits(low: float | None, high: float | None) -> str:
    if low is None and high is None:
        return ""
    if low == high:
        return f" {low}"
    if high is None:
        return f" of {low} or more"
    return f" up to {high}" if low is None else f" from {low} to {high}"


def _at(place: str) -> str:
    return place or "its content"


def _inside(place: str, name: str) -> str:
    inner = printable(name)[:100]
    return f"{place}.{inner}" if place else inner


def _not(place: str, expected: str, value: Any) -> str:
    return f"{_at(place)} should be {expected}, not {printable(_SHORT.repr(value))}"


_SHORT = reprlib.Repr()
_SHORT.maxstring = 80
_SHORT.maxdict = _SHORT.maxlist = 3
_SHORT.maxlevel = 2
