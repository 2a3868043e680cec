"""The rows of an attack: one line of `rows.tsv` for each attacked example.

Numbers are text and floats read back as the same float64. Nothing in a file is
evaluated.
"""

import os
import pathlib
import typing
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from advjax.runs import fields
from advjax.runs.descriptions import RUN_FILE, description
from advjax.runs.shards import RowFormat, read_merged
from advjax.runtime.text import printable


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
    """The goal is met within the budget, measured on the adversarial example.

    Never of an example that is of the class to reach or predicted as it before."""
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
_SIZE = fields.Real(low=0, words=("inf",))
_PROBABILITY = fields.Real(low=0, high=1)
FIELDS: dict[str, fields.Field] = {
    "idx": fields.Whole(),
    "label": fields.Whole(),
    "clean": fields.Whole(),
    "target": fields.Whole(low=-1),
    "predict": fields.Whole(),
    "success": fields.Flag(),
    "queries": fields.Whole(),
    "time": fields.Real(low=0),
    "id": fields.Name(),
    "budget": _SIZE,
    "snr_db": fields.Real(words=("nan", "inf", "-inf")),
    "linf": _SIZE,
    "l2": _SIZE,
    "l0": fields.Whole(),
    "gt": _PROBABILITY,
    "new": _PROBABILITY,
    "gt_new": _PROBABILITY,
    "zero_gradient": _PROBABILITY,
}
"""The reader of each column."""


def read(path: str | os.PathLike[str]) -> AttackRows:
    """The rows of a run folder, by `idx`; a last line cut short is left out.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the columns or a line are not as expected, or the numbers of a line
            contradict each other; the line is named.
    """
    path = pathlib.Path(path)
    check = check_consistency
    if path.is_dir() and os.path.lexists(path / RUN_FILE):
        settings = description(path)["settings"]

        def check(rows: AttackRows, file: pathlib.Path) -> None:
            check_consistency(rows, file)
            _check_budget(rows, file, settings)

    return read_merged(
        path,
        parse,
        COLUMNS,
        check,
        advice="attack something first, with `python -m experiments.attack`",
    )


def parse(content: bytes, path: pathlib.Path) -> AttackRows:
    """The rows in the text of a file; what follows its last newline is left out.

    Raises:
        ValueError: the columns or a line are not as expected; the line is named.
    """
    (header, *lines), _ = fields.lines(content)
    if tuple(header.split("\t")) != COLUMNS:
        raise ValueError(
            f"{printable(str(path))} line 1: these are not the rows of an attack; "
            f"found {header[:200]!r}"
        )
    found = fields.table(lines, FIELDS, path)
    return AttackRows(**fields.columns(found, FIELDS))


def check_consistency(rows: AttackRows, path: pathlib.Path) -> None:
    """Refuse rows of a file whose numbers contradict each other.

    Raises:
        ValueError: there is one; its line is named.
    """
    untargeted = rows.target == -1
    fields.refuse(
        path,
        rows.success
        & np.where(untargeted, rows.predict == rows.label, rows.predict != rows.target),
        lambda i: (
            f"success is 1 where the label is {rows.label[i]}, the target "
            f"{rows.target[i]} and the prediction {rows.predict[i]}"
        ),
    )
    fields.refuse(
        path,
        (rows.l0 == 0) != (rows.l2 == 0),
        lambda i: f"l0 is {rows.l0[i]} where l2 is {rows.l2[i]:g}",
    )
    fields.refuse(
        path,
        (rows.linf > rows.l2 * (1 + _ROUNDING)) | (rows.success & np.isinf(rows.l2)),
        lambda i: f"linf is {rows.linf[i]:g} where l2 is {rows.l2[i]:g}",
    )
    fields.refuse(
        path,
        (rows.gt_new > rows.new)
        | ((rows.predict == rows.clean) & (rows.gt_new != rows.new)),
        lambda i: (
            f"gt_new is {rows.gt_new[i]:g} and new {rows.new[i]:g}, where the class "
            f"was {rows.clean[i]} and is {rows.predict[i]}"
        ),
    )
    fields.refuse_doubles(path, rows.id)


def _check_budget(
    rows: AttackRows, path: pathlib.Path, settings: Mapping[str, Any]
) -> None:
    """Refuse successes beyond the budget, where the settings name its norm."""
    if settings.get("budget") is None or settings.get("norm") not in ("linf", "l2"):
        return
    size = getattr(rows, settings["norm"])
    fields.refuse(
        path,
        # As much as is let pass when the row is written.
        rows.success & (size > rows.budget * (1 + 1e-5) + 1e-6),
        lambda i: (
            f"success is 1 where {settings['norm']} is {size[i]:g}, and the budget "
            f"{rows.budget[i]:g}"
        ),
    )


_ROUNDING = 1e-9


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


def _checked_ids(content: bytes, path: pathlib.Path) -> tuple[str, ...]:
    rows = parse(content, path)
    check_consistency(rows, path)
    return rows.id


ATTACKED = RowFormat(
    ("\t".join(COLUMNS) + "\n").encode(),
    line_of,
    _checked_ids,
    "attack",
)
"""Rows of attacked examples, for `runs.open_run`."""
