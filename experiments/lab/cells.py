"""Cells of a grid, and the choice of some of them."""

import dataclasses
import fnmatch
import itertools
import re
from collections.abc import Hashable, Iterable, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Cell:
    """One point of a grid.

    Attributes:
        path: its name, and its folder below `cells`.
        values: its coordinates, as pairs of an axis and a value.
    """

    path: str
    values: tuple[tuple[str, Hashable], ...] = ()

    def __getitem__(self, axis: str) -> Any:
        """The value on an axis."""
        return dict(self.values)[axis]


def product(**axes: Iterable[Hashable]) -> list[Cell]:
    """Every combination of values, the last axis first to change.

    A cell's name joins its values, a choice from a catalog without its options.
    """
    return [
        Cell("/".join(map(_name, values)), tuple(zip(axes, values, strict=True)))
        for values in itertools.product(*axes.values())
    ]


def choose(
    cells: Sequence[Cell], patterns: str, share: str, together: Sequence[str] = ()
) -> list[Cell]:
    """The cells of one start.

    Args:
        cells: of the grid.
        patterns: names with wildcards, separated by commas.
        share: "I/N", with I from 0 to N - 1. Cells without values, which read the
            others, are left out of a share.
        together: axes whose cells belong to one start.

    Returns:
        The cells in the order of the grid.

    Raises:
        ValueError: a share that cannot be read, or one without a cell.
    """
    read = re.fullmatch(r"(\d+)/(\d+)", share)
    if not read or int(read[1]) >= int(read[2]):
        raise ValueError(f"--share={share}: write I/N with I from 0 to N - 1")
    index, count = int(read[1]), int(read[2])
    units: dict[Any, list[Cell]] = {}
    for cell in cells:
        unit = tuple(pair for pair in cell.values if pair[0] not in together)
        if cell.values or count == 1:
            units.setdefault(unit, []).append(cell)
    mine = list(itertools.chain(*list(units.values())[index::count]))
    # In the order of the grid, where cells of one unit are apart.
    mine.sort(key={cell: place for place, cell in enumerate(cells)}.__getitem__)
    if not mine:
        raise ValueError(
            f"--share={share} leaves no cell, as {len(units)} can be shared: share "
            "among fewer starts"
        )
    wanted = [pattern.strip() for pattern in patterns.split(",")]
    chosen = [c for c in mine if any(fnmatch.fnmatchcase(c.path, w) for w in wanted)]
    if not chosen:
        examples = ", ".join(cell.path for cell in mine[:3])
        raise ValueError(
            f"--cells={patterns!r} matches no cell; they are called like {examples}"
        )
    return chosen


def _name(value: Any) -> str:
    return value.partition("(")[0] if isinstance(value, str) else f"{value:g}"
