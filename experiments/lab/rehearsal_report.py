"""The table of a rehearsal, and the passes over memory of its programs."""

import collections
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from advjax.reports.files import write_report
from advjax.reports.page import Heading
from advjax.reports.tables import Table, as_text, markdown_table
from advjax.runtime.topologies import TARGETS

_HEADER = (
    "program", "precision", "size", "compiled, s", "GiB", "of the device", "GFLOP",
    "GB", "least GB", "per s", "bound by", "one by one", "convolutions and products",
)  # fmt: skip
_LISTED = [f"certify-{at}-bfloat16-fixed" for at in ("waveform", "magnitude", "mfbe")]
"""Programs whose kernels are listed one by one."""
_NOTES = (
    "size: copies, slots or examples at once on each device, and the size asked for "
    "where it did not fit",
    "GiB: arguments, results and temporaries on each device",
    "GFLOP, GB: of a round (a tile of votes, a step of all slots) or of a run, on each "
    "device: the convolutions and products, and the operands and results of every "
    "fusion and library call, in the compiled text",
    "least GB: inputs, weights and results of convolutions and products, once",
    "per s: by the roofline, the longer of FLOPs over the device's peak and bytes over "
    "its bandwidth; one by one: where no two kernels overlap",
    "convolutions and products: how often a library call or a fusion runs, and the "
    "precision; Fourier transforms, sorts and decompositions count bytes alone",
)


def report(rows: Sequence[Mapping[str, Any]], out: pathlib.Path, origin: str) -> str:
    """Write report.md with the tables of each target; return them as text."""
    blocks: list[Any] = [Heading("Rehearsal"), f"`{origin}`"]
    shown = []
    for target, machine in TARGETS.items():
        own = [row for row in rows if row["target"] == target]
        if not own:
            continue
        table = Table(_HEADER, [_cells(row) for row in own], _NOTES)
        blocks += [Heading(f"{target}: {machine.name}", 2), table]
        shown.append(as_text(table))
        for row in own:
            if row["program"] in _LISTED and "passes" in row:
                title = f"{target}: kernels of {row['program']}"
                blocks += [Heading(title, 3), _passes(row)]
    write_report(out / "report.md", blocks, origin=[origin])
    return "\n\n".join(shown)


def _cells(row: Mapping[str, Any]) -> list[str]:
    if "why" in row:
        return [row["program"], row["why"], *[""] * (len(_HEADER) - 2)]
    (size,) = (row[name] for name in ("tile", "slots", "batch") if name in row)
    products = collections.Counter()
    for label, count in row["products"].items():
        kind, first, *_, precision = label.split(" ")
        products[f"{kind}: {first}, {precision}"] += count
    return [
        row["program"],
        row["precision"],
        f"{size}" if size == row["asked"] else f"{size} of {row['asked']}",
        f"{row['seconds']:.0f}",
        f"{row['memory_bytes'] / 2**30:.2f}",
        f"{row['memory_bytes'] / row['device_bytes']:.0%}",
        _number(row["flops"] / 1e9),
        _number(row["bytes"] / 1e9),
        _number(row["least_bytes"] / 1e9),
        f"{_number(row['per_s'])} {row['unit']}",
        row["bound"],
        _number(row["one_by_one_per_s"]),
        "; ".join(f"{count} {label}" for label, count in products.items()),
    ]


def _number(value: float) -> str:
    """Three digits, or all of those before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _passes(row: Mapping[str, Any]) -> str:
    rows = [
        [label, f"{times}", f"{size / 1e9:.3f}", f"{size / row['bytes']:.1%}"]
        for label, times, size in row["passes"]
    ]
    return markdown_table(["kernel", "times", "GB", "share"], rows)
