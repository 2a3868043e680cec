"""Compiled programs as XLA prints them: computations, instructions, shapes.

Only what tells a program's work is read: operations, operands, shapes with their
layout, and the computations that an instruction calls.

Source of the grammar: XLA's `HloModule::ToString` and "HLO text format",
openxla.org/xla.
"""

import math
import re
from collections.abc import Iterator
from typing import NamedTuple

_BITS = {
    "pred": 8, "s4": 4, "u4": 4, "s8": 8, "u8": 8, "f8e4m3fn": 8, "f8e5m2": 8,
    "s16": 16, "u16": 16, "f16": 16, "bf16": 16, "s32": 32, "u32": 32, "f32": 32,
    "s64": 64, "u64": 64, "f64": 64, "c64": 64, "c128": 128,
}  # fmt: skip
_SHAPE = re.compile(r"(\w+)\[([\d,<=]*)\](?:\{([^{}]*)\})?")
_HEAD = re.compile(r"\s*(ROOT )?%?([\w.\-]+) = ")
_NAME = re.compile(r"%?([\w.\-]+)\s*$")
_CALLED = re.compile(r"(calls|to_apply|body)=%?([\w.\-]+)")
_BRANCHES = re.compile(r"branch_computations=\{([^}]*)\}")
_BINARY_BRANCHES = re.compile(r"(?:true|false)_computation=%?([\w.\-]+)")
_TRIPS = re.compile(r'known_trip_count"?:\{"?n"?:"?(\d+)')


class Shape(NamedTuple):
    """An array's type, sizes and layout.

    Attributes:
        dtype: XLA's name of the type.
        sizes: of each axis.
        layout: the text between the braces after the sizes.
    """

    dtype: str
    sizes: tuple[int, ...]
    layout: str = ""

    @property
    def num_elements(self) -> int:
        """Number of elements."""
        return math.prod(self.sizes)

    @property
    def num_bytes(self) -> int:
        """Bytes in the device's main memory, with the padding of its tiles.

        An array in another memory, as the vector memory of a TPU, has none.
        """
        if re.search(r"S\([1-9]", self.layout):
            return 0
        return math.prod(self._padded()) * _BITS.get(self.dtype, 0) // 8

    def _padded(self) -> list[int]:
        """Sizes with the two minor axes rounded up to the first tile of the layout."""
        tile = re.search(r"T\((\d+),(\d+)\)", self.layout)
        order = re.match(r"[\d,]+", self.layout)
        sizes = list(self.sizes)
        if tile and order and len(sizes) >= 2:
            minor = [int(axis) for axis in order[0].split(",")[:2]]
            for axis, size in zip(minor, (int(tile[2]), int(tile[1])), strict=True):
                sizes[axis] = -(-sizes[axis] // size) * size
        return sizes


class Instruction(NamedTuple):
    """One instruction of a computation.

    Attributes:
        name: unique in its computation.
        shapes: of its result; several for a tuple.
        opcode: XLA's name of the operation.
        operands: names of instructions or, of a parameter, its number.
        attributes: the text after the operands.
        is_root: whether it is the result of its computation.
    """

    name: str
    shapes: tuple[Shape, ...]
    opcode: str
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @property
    def num_bytes(self) -> int:
        """Bytes of the result in the device's main memory."""
        return sum(shape.num_bytes for shape in self.shapes)

    @property
    def called(self) -> list[str]:
        """Computations that it runs once."""
        return [name for _, name in _CALLED.findall(self.attributes)]

    @property
    def branches(self) -> list[str]:
        """Computations of which it runs one."""
        listed = _BRANCHES.search(self.attributes)
        if listed is None:
            return _BINARY_BRANCHES.findall(self.attributes)
        return [name.strip().lstrip("%") for name in listed[1].split(",")]

    @property
    def num_trips(self) -> int | None:
        """Rounds of a loop; None if the text does not know them."""
        found = _TRIPS.search(self.attributes)
        return int(found[1]) if found else None

    @property
    def target(self) -> str:
        """The library call of a custom call; empty for others."""
        found = re.search(r'custom_call_target="([^"]*)"', self.attributes)
        return found[1] if found else ""


class Computation(NamedTuple):
    """Instructions of a computation, in order, by name."""

    instructions: dict[str, Instruction]

    def __iter__(self) -> Iterator[Instruction]:
        """The instructions in order."""
        return iter(self.instructions.values())

    @property
    def root(self) -> Instruction:
        """The instruction whose result is the computation's."""
        return next(each for each in self if each.is_root)


class Module(NamedTuple):
    """Computations by name, and the name of the first to run."""

    computations: dict[str, Computation]
    entry: str


def parse(text: str) -> Module:
    """The computations of a compiled program.

    Args:
        text: the result of `as_text()` of a compiled JAX program.

    Raises:
        ValueError: there is no entry computation in the text.
    """
    computations: dict[str, Computation] = {}
    entry, found = "", {}
    for line in re.sub(r"/\*.*?\*/", "", text).splitlines():
        if line.endswith("{") and not line.startswith((" ", "HloModule")):
            name = re.match(r"(?:ENTRY )?%?([\w.\-]+)", line)[1]
            found = {}
            computations[name] = Computation(found)
            entry = name if line.startswith("ENTRY ") else entry
        elif head := _HEAD.match(line):
            one = _instruction(head, line[head.end() :])
            found[one.name] = one
    if not entry:
        raise ValueError("text: it has no ENTRY computation; give that of a program")
    return Module(computations, entry)


def _instruction(head: re.Match, rest: str) -> Instruction:
    shapes, rest = _type(rest)
    opcode, _, rest = rest.lstrip().partition("(")
    operands, rest = _until_closed(rest)
    names = tuple(
        match[1] for part in _parts(operands) if (match := _NAME.search(part))
    )
    return Instruction(head[2], shapes, opcode, names, rest, bool(head[1]))


def _type(text: str) -> tuple[tuple[Shape, ...], str]:
    """The shapes before an opcode, and the text after them."""
    if text.startswith("("):
        inside, rest = _until_closed(text[1:])
    else:
        inside, _, rest = text.partition(" ")
    shapes = tuple(
        Shape(dtype, tuple(int(n.strip("<=")) for n in sizes.split(",") if n), layout)
        for dtype, sizes, layout in _SHAPE.findall(inside)
    )
    return shapes, rest


def _until_closed(text: str) -> tuple[str, str]:
    """Text inside parentheses that are open, and the text behind them."""
    depth = 1
    for place, letter in enumerate(text):
        depth += (letter in "({") - (letter in ")}")
        if depth == 0:
            return text[:place], text[place + 1 :]
    return text, ""


def _parts(text: str) -> Iterator[str]:
    """Parts between commas that are in no brackets."""
    depth, start = 0, 0
    for place, letter in enumerate(text):
        depth += (letter in "({[") - (letter in ")}]")
        if letter == "," and depth == 0:
            yield text[start:place]
            start = place + 1
    yield text[start:]
