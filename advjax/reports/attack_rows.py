"""The rows of an attack: one line of `rows.tsv` for each attacked example.

Numbers are text and floats read back as the same float64. Nothing in a file is
evaluated.
"""

import os
import pathlib
import typing
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from advjax.reports.rows import RowFormat, read_merged


class AttackRow(NamedTuple):
    """One attacked example, in the order of the columns.

    The three confidences are those of Subramanian et al. 2019 (arXiv:1907.02477), whose
    tables call them GT, New and GT new.
    """

    idx: int
    """Its place in the split."""
    label: int
    clean: int
    """What the classifier says of the clean example."""
    target: int
    """The class to reach; -1 for an untargeted attack."""
    predict: int
    """What it says of the adversarial example."""
    success: bool
    """The goal is met within the budget, measured on the adversarial example."""
    queries: int
    """Forward passes spent."""
    time: float
    """Seconds since the example before was finished."""
    id: str
    budget: float
    """In the attack's norm and the units of the stage; inf if there was none."""
    snr_db: float
    linf: float
    l2: float
    l0: int
    gt: float
    """Probability of the clean answer on the clean example."""
    new: float
    """Probability of the adversarial answer on the adversarial example."""
    gt_new: float
    """Probability of the clean answer on the adversarial example."""
    zero_gradient: float
    """Share of entries at which the clean loss has a gradient of exactly zero."""


class AttackRows(NamedTuple):
    """The rows of a run as columns; see `AttackRow` for what each one means."""

    idx: Int[np.ndarray, "rows"]
    label: Int[np.ndarray, "rows"]
    clean: Int[np.ndarray, "rows"]
    target: Int[np.ndarray, "rows"]
    predict: Int[np.ndarray, "rows"]
    success: Bool[np.ndarray, "rows"]
    queries: Int[np.ndarray, "rows"]
    time: Float[np.ndarray, "rows"]
    id: tuple[str, ...]
    budget: Float[np.ndarray, "rows"]
    snr_db: Float[np.ndarray, "rows"]
    linf: Float[np.ndarray, "rows"]
    l2: Float[np.ndarray, "rows"]
    l0: Int[np.ndarray, "rows"]
    gt: Float[np.ndarray, "rows"]
    new: Float[np.ndarray, "rows"]
    gt_new: Float[np.ndarray, "rows"]
    zero_gradient: Float[np.ndarray, "rows"]


COLUMNS = AttackRow._fields
_KINDS = typing.get_type_hints(AttackRow)


def read(path: str | os.PathLike[str]) -> AttackRows:
    """The rows of a run folder, by `idx`; a last line cut short is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the columns or a line are not as expected; the line is named.
    """
    return read_merged(
        path,
        parse,
        COLUMNS,
        advice="attack something first, with `python -m experiments.attack`",
    )


def parse(content: bytes, path: pathlib.Path) -> AttackRows:
    """The rows in the text of a file; what follows its last newline is left out.

    Raises:
        ValueError: the columns or a line are not as expected; the line is named.
    """
    lines = content.decode("utf-8", errors="surrogateescape").split("\n")
    if tuple(lines[0].split("\t")) != COLUMNS:
        raise ValueError(
            f"{path} line 1: these are not the rows of an attack; found "
            f"{lines[0][:200]!r}"
        )
    rows = []
    for number, line in enumerate(lines[1:-1], start=2):
        cells = line.split("\t")
        try:
            rows.append([_parsed(*pair) for pair in zip(COLUMNS, cells, strict=True)])
        except ValueError as error:
            raise ValueError(
                f"{path} line {number}: {error}: {line[:200]!r}"
            ) from error
    columns = zip(*rows, strict=True) if rows else [()] * len(COLUMNS)
    dtypes = {int: np.int64, float: np.float64, bool: np.bool_}
    return AttackRows(
        *(
            values if name == "id" else np.array(values, dtypes[_KINDS[name]])
            for name, values in zip(COLUMNS, columns, strict=True)
        )
    )


def line_of(row: AttackRow) -> bytes:
    """The line of a row, newline included.

    Raises:
        ValueError: the id has a tab or a line break.
    """
    if set(row.id) & set("\t\n\r"):
        raise ValueError(
            f"the id {row.id!r} has a tab or a line break: rename the clip"
        )
    cells = [_printed(name, getattr(row, name)) for name in COLUMNS]
    return ("\t".join(cells) + "\n").encode("utf-8", errors="surrogateescape")


def _printed(name: str, value) -> str:
    if _KINDS[name] is float:
        return repr(float(value))
    return value if _KINDS[name] is str else str(int(value))


def _parsed(name: str, cell: str):
    if _KINDS[name] is bool:
        if cell not in ("0", "1"):
            raise ValueError(f"{name} must be 0 or 1, found {cell!r}")
        return cell == "1"
    return _KINDS[name](cell)


ATTACKED = RowFormat(
    ("\t".join(COLUMNS) + "\n").encode(),
    line_of,
    lambda content, path: parse(content, path).id,
    "attack",
)
"""Rows of attacked examples, for `runs.open_run`."""
