"""The table and the file of `benchmarks.accelerator`, whole after every row."""

import json
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from advjax.reports import tables
from advjax.runtime import atomic
from experiments.benchmarks import results
from experiments.benchmarks.parts import Row

NOT_RIVALS = ("ours", "ceiling", "check", "wrong", "failed", "weaker")
"""Kinds that no row is compared with."""


class Report:
    """Rows of all parts so far, and the seconds of each part that has ended.

    Attributes:
        setting: device and versions; empty before a part has told them.
        rows: the rows, by part.
        seconds: by part.
    """

    def __init__(self, folder: pathlib.Path, command: str):
        """An empty report; `folder` is made."""
        self.setting: dict[str, Any] = {}
        self.rows: dict[str, list[Row]] = {}
        self.seconds: dict[str, float] = {}
        self._folder, self._command = folder, command
        folder.mkdir(parents=True, exist_ok=True)

    def write(self) -> str:
        """Write accelerator.json and accelerator.md; return the latter's text."""
        setting = self.setting and self.setting | {"command": self._command}
        parts = [
            {
                "part": part,
                "seconds": self.seconds.get(part),
                "rows": [row._asdict() for row in rows],
            }
            for part, rows in self.rows.items()
        ]
        spelled = json.dumps({"setting": setting, "parts": parts}, indent=1)
        shown = table(self.rows, self.seconds)
        text = results.signed(shown, setting) if setting else tables.as_markdown(shown)
        for name, content in (("json", spelled), ("md", text)):
            with atomic.new_file(self._folder / f"accelerator.{name}") as file:
                file.write_text(content.rstrip() + "\n", encoding="utf-8")
        return text


def table(
    rows: Mapping[str, Sequence[Row]], seconds: Mapping[str, float]
) -> tables.Table:
    """A row for each figure, and the ratio to the best rival at the same work."""
    cells = [
        [
            part, row.work, row.name,
            row.kind if row.kind in ("failed", "wrong") else "",
            tables.DASH if row.figure is None else f"{row.figure:.5g}", row.unit,
            times(row, of_part),
            tables.DASH if row.first_s is None else f"{row.first_s:.1f}", row.note,
        ]
        for part, of_part in rows.items()
        for row in of_part
    ]  # fmt: skip
    header = [
        "part", "work", "contestant or check", "", "figure", "unit",
        "times the best rival", "first call, s", "note",
    ]  # fmt: skip
    spent = ", ".join(f"{part} {each:.0f} s" for part, each in seconds.items())
    notes = [f"seconds of the parts that have ended: {spent or 'none has'}"]
    return tables.Table(header, cells, notes)


def times(row: Row, others: Sequence[Row]) -> str:
    """The rate in multiples of the best rival's at the same work; a dash for none."""
    rivals = [
        each.figure
        for each in others
        if each.figure and each.kind not in NOT_RIVALS and each.work == row.work
    ]
    if row.figure is None or row.kind in ("check", "wrong", "ceiling") or not rivals:
        return tables.DASH
    return f"{row.figure / max(rivals):.2f}"
