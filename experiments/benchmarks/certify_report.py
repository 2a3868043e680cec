"""The tables and figures of `benchmarks.certify`."""

import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from advjax.reports import figures, tables


def write(found: Mapping[str, Any], out: pathlib.Path) -> str:
    """The text, written as `certify.md` beside `scaling.png` and `width.png`.

    Args:
        found: what `certify.json` holds.
        out: a folder that exists.
    """
    parts = [f"# Votes per second on {found['machine']}"]
    for width, measured in found["widths"].items():
        parts += [
            f"## ResCNN of width {width}, {found['precision']}",
            tables.as_markdown(_speeds(measured)),
            _conclusion(measured),
        ]
        if measured["scaling"]:
            parts.append(_growth(measured["scaling"]))
    lines = {
        f"width {width}": _scaling_lines(measured["scaling"])
        for width, measured in found["widths"].items()
        if measured["scaling"]
    }
    if lines:
        figures.log_log_plot(
            lines, out / "scaling.png", x_label="votes", y_label="seconds",
            title="What certifying costs",
        )  # fmt: skip
        parts.append("![seconds over votes](scaling.png)")
    if len(found["widths"]) > 1:
        figures.log_log_plot(
            {"": _width_lines(found["widths"])}, out / "width.png",
            x_label="width", y_label="milliseconds a vote", title="Wider networks",
        )  # fmt: skip
        parts.append("![milliseconds over width](width.png)")
    text = "\n\n".join(parts) + "\n"
    (out / "certify.md").write_text(text, encoding="utf-8")
    return text


def best(measured: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    """The contestant of a kind with the best median."""
    own = [c for c in measured["contestants"] if c["kind"] == kind]
    return max(own, key=lambda c: statistics.median(_rates(c)))


def ratios(ours: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """How many times as fast ours was, round by round."""
    return [a / b for a, b in zip(_rates(ours), _rates(other), strict=True)]


def slope(points: Sequence[tuple[float, float]]) -> float:
    """The exponent of growth: of the line of least squares through logarithms."""
    x, y = np.log(np.asarray(points, float)).T
    return float(np.polyfit(x, y, 1)[0])


def _rates(contestant: Mapping[str, Any]) -> list[float]:
    return [turn["votes_per_s"] for turn in contestant["turns"]]


def _speeds(measured: Mapping[str, Any]) -> tables.Table:
    ceiling = best(measured, "ceiling")
    most = statistics.median(_rates(ceiling)) * ceiling["tells"]["flops"]
    rivals = [best(measured, kind) for kind in ("torch", "published")]
    rows = []
    for contestant in measured["contestants"]:
        if contestant["kind"] == "ceiling":
            continue
        rate = statistics.median(_rates(contestant))
        memory = contestant["tells"].get("memory_bytes") or max(
            turn["peak_bytes"] for turn in contestant["turns"]
        )
        rows.append(
            [
                contestant["name"],
                f"{rate:.4g}",
                f"{rate * measured['flops'] / most:.2f}",
                _seconds(10_000 / rate),
                _seconds(100_000 / rate),
                f"{memory / 2**30:.2f}",
                f"{contestant['compile_s']:.1f}",
                *(f"{statistics.median(ratios(contestant, r)):.2f}" for r in rivals),
            ]
        )
    header = (
        "contestant", "votes/s", "of the ceiling", "s a clip, n=10,000",
        "n=100,000", "memory, GiB", "first call, s", "times the best PyTorch",
        "times the published loop",
    )  # fmt: skip
    notes = [
        f"the ceiling: {most / 1e9:.4g} GFLOP/s in a large matrix product; "
        f"{measured['flops'] / 1e9:.3f} GFLOP a vote by direct convolution. Ours does "
        "fewer on a CPU (Winograd), so that its share may pass 1",
        f"medians of {len(ceiling['turns'])} rounds; ratios are medians of those of "
        "the same round; s a clip follows from votes/s",
        "memory: the peak of the process, or what its library held on an accelerator",
    ]
    wrong = best(measured, "ours")["tells"]["disagreement"]
    if wrong:
        notes.append(f"{wrong:.2%} of 1,000 copies have another winner in float32")
    return tables.Table(header, rows, notes)


def _conclusion(measured: Mapping[str, Any]) -> str:
    ours = best(measured, "ours")
    said = []
    for kind, name in (("torch", "the best PyTorch"), ("published", "the published")):
        found = ratios(ours, best(measured, kind))
        said.append(
            f"{statistics.median(found):.2f} times {name} "
            f"({min(found):.2f} to {max(found):.2f} in single rounds)"
        )
    rival = best(measured, "torch")["name"]
    return f"Best of ours: {ours['name']}: {', '.join(said)}. Best PyTorch: {rival}."


def _growth(scaling: Mapping[str, Any]) -> str:
    lines = _scaling_lines(scaling)
    slopes = ", ".join(f"{name} {slope(line):.3f}" for name, line in lines.items())
    peaks = [turn["peak_bytes"] / 2**20 for turn in scaling["n"] + scaling["clips"]]
    return (
        f"Exponent of growth from {scaling['unit']} to {30 * scaling['unit']} votes "
        f"({scaling['name']}): {slopes}. Peak memory after the least votes "
        f"{peaks[0]:.0f} MiB, after all {max(peaks):.0f} MiB."
    )


def _scaling_lines(scaling: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    """Votes and median seconds, over n and over clips."""
    lines = {}
    for what, name in (("n", "votes of one clip"), ("clips", "clips")):
        by_size: dict[int, list[float]] = {}
        for turn in scaling[what]:
            by_size.setdefault(turn["votes"], []).append(turn["wall_s"])
        lines[name] = [(v, statistics.median(by_size[v])) for v in sorted(by_size)]
    return lines


def _width_lines(widths: Mapping[str, Any]) -> dict[str, list[tuple[float, float]]]:
    names = {"ours": "ours", "torch": "best PyTorch", "published": "published loop"}
    return {
        name: [
            (int(width), 1000 / statistics.median(_rates(best(measured, kind))))
            for width, measured in widths.items()
        ]
        for kind, name in names.items()
    }


def _seconds(seconds: float) -> str:
    return f"{seconds:.{max(0, 2 - int(math.log10(max(seconds, 1e-9))))}f}"
