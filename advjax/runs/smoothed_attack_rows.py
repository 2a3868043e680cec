"""The rows of attacks on smoothed classifiers: a line for each clip, attack and budget.

Numbers are text and floats read back as the same float64. Nothing in a file is
evaluated.
"""

import pathlib
import typing
from typing import NamedTuple

from advjax.runs import fields
from advjax.runs.shards import RowFormat, shards
from advjax.runtime.text import printable


class SmoothedAttackRow(NamedTuple):
    """One certified clip, attacked and judged by a vote, as the columns follow."""

    clip: str
    """The example's name in its records, the `id` of its certificate's row."""
    label: int
    radius: float
    """The certified one, in the units of the stage."""
    attack: str
    """What was run on the mean over noise, with its options."""
    budget: str
    """What `eps` is: a multiple of the noise's deviation, the radius, or nothing."""
    eps: float
    """The largest l2 norm allowed; inf for a search for the smallest."""
    l2: float
    """Of the perturbation; 0 where a search found none."""
    predict: int
    """The smoothed classifier's answer to the perturbed clip; -1 for an abstention."""
    p_value: float
    """Of that answer's lead, were the two best classes equally likely."""
    votes: int
    """For the class that leads."""

    @property
    def id(self) -> str:
        """The one name of this row in its file."""
        return f"{self.clip} {self.attack} {self.budget}"

    @property
    def flipped(self) -> bool:
        """Whether the vote named another class; abstentions are none."""
        return self.predict not in (self.label, -1)

    @property
    def inside(self) -> bool:
        """Whether there is a perturbation and the certificate covers it."""
        return 0 < self.l2 <= self.radius


COLUMNS = SmoothedAttackRow._fields
_KINDS = typing.get_type_hints(SmoothedAttackRow)
FIELDS: dict[str, fields.Field] = {
    "clip": fields.Name(),
    "label": fields.Whole(),
    "radius": fields.Real(low=0),
    "attack": fields.Name(),
    "budget": fields.Name(),
    "eps": fields.Real(low=0, words=("inf",)),
    "l2": fields.Real(low=0),
    "predict": fields.Whole(low=-1),
    "p_value": fields.Real(low=0, high=1),
    "votes": fields.Whole(),
    "flipped": fields.Flag(),
}
"""The reader of each column."""


def read(folder: pathlib.Path) -> list[SmoothedAttackRow]:
    """The rows of a run folder; a last line cut short is left out.

    Raises:
        ValueError: the columns or a line are not as expected; the line is named.
    """
    return [row for path in shards(folder) for row in parse(path.read_bytes(), path)]


def parse(content: bytes, path: pathlib.Path) -> list[SmoothedAttackRow]:
    """The rows in the text of a file; what follows its last newline is left out.

    Raises:
        ValueError: the columns or a line are not as expected, or the numbers of a line
            contradict each other; the line is named.
    """
    (header, *lines), _ = fields.lines(content)
    if tuple(header.split("\t")) != (*COLUMNS, "flipped"):
        raise ValueError(
            f"{printable(str(path))} line 1: these are not the rows of attacks on a "
            f"smoothed classifier; found {header[:200]!r}"
        )
    rows = []
    for number, (*values, flipped) in enumerate(
        fields.table(lines, FIELDS, path), start=2
    ):
        row = SmoothedAttackRow(*values)
        if row.flipped != flipped:
            raise fields.bad_line(
                path,
                number,
                f"flipped is {int(flipped)} where the label is {row.label} and the "
                f"prediction {row.predict}",
            )
        rows.append(row)
    fields.refuse_doubles(path, [row.id for row in rows])
    return rows


def line_of(row: SmoothedAttackRow) -> bytes:
    """The line of a row, newline included.

    Raises:
        ValueError: a text has a tab or a line break.
    """
    if set(row.id) & set("\t\n\r"):
        raise ValueError(f"{row.id!r} has a tab or a line break: rename the clip")
    cells = [
        repr(float(cell)) if kind is float else str(cell)
        for kind, cell in zip(_KINDS.values(), row, strict=True)
    ]
    line = "\t".join([*cells, str(int(row.flipped))]) + "\n"
    return line.encode("utf-8", errors="surrogateescape")


SMOOTHED_ATTACKS = RowFormat(
    ("\t".join([*COLUMNS, "flipped"]) + "\n").encode(),
    line_of,
    lambda content, path: [row.id for row in parse(content, path)],
    "smoothed_attacks",
)
"""Rows of attacks on smoothed classifiers, for `runs.open_run`."""
