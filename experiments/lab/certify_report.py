"""Reports of certification runs: tables, a figure, and what their settings imply."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from advjax.reports import tables
from advjax.reports.tables import DASH, Table
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES, Run
from advjax.runtime.atomic import new_file
from experiments.lab import caveats
from experiments.lab.run_labels import label_of

_SHOWN = (
    *("records", "classifier", "num_selection", "num_estimation", "alpha", "bound"),
    *("precision", "seed"),
)
"""Settings of a run below its table."""


def read_run(folder: pathlib.Path, label: str | None = None) -> Run:
    """A finished or running run for tables and plots."""
    settings = runs.description(folder)["settings"]
    return Run(
        label or label_of(settings),
        CERTIFICATES.read(folder),
        settings["cap"],
        settings.get("alpha"),
    )


def report(
    folders: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    radii: Sequence[float] = tables.PUBLICATION_RADII,
) -> str:
    """The text of a report; writes `report.md` and `curve.png` into `out`."""
    found = [read_run(folder) for folder in folders]
    table = tables.certified_accuracy_table(found, list(radii))
    out.mkdir(parents=True, exist_ok=True)
    each = [runs.description(folder)["settings"] for folder in folders]
    parts = ["# Certified accuracy", tables.as_markdown(table)]
    parts += [
        f"{run.label}: {', '.join(f'{name} {s[name]}' for name in _SHOWN if name in s)}"
        for run, s in zip(found, each, strict=True)
    ]
    texts, missing = [tables.as_text(table)], []
    try:
        from advjax.reports import figures

        units = " / ".join(sorted(set(map(_units, each))))
        figures.certified_accuracy_plot(found, out / "curve.png", units=units)
        parts.append("![certified accuracy over the radius](curve.png)")
    except ImportError:
        missing = ["(no plot: pip install matplotlib)"]
    for run, settings in zip(found, each, strict=True):
        if "needs" in settings:
            saved = saved_votes(run.rows.n, settings)
            parts += [f"# Votes of {run.label}", tables.as_markdown(saved)]
            texts.append(tables.as_text(saved))
    parts += [_tones(settings) for settings in each if "tone_db" in settings["noise"]]
    remarks = caveats.of_runs(folders)
    with new_file(out / "report.md") as aside:
        aside.write_text("\n\n".join(parts + remarks) + "\n", encoding="utf-8")
    return "\n\n".join(texts + remarks + missing)


def _units(settings: Mapping[str, Any]) -> str:
    """The units of a run's radii: those of the stage, and a norm other than l2."""
    stage, norm = settings["noise_enters_at"], settings["noise"]["norm"]
    return stage if norm == "l2" else f"{stage}, {norm}"


def _tones(settings: Mapping[str, Any]) -> str:
    """Radii in the ellipsoid's norm as those of a tone, in words."""
    tones = settings["noise"]["tone_db"].items()
    each = ", ".join(f"{float(db):+.1f} dB at {hz} Hz" for hz, db in tones)
    return (
        f"Of {settings['noise']['law']}: a perturbation at one frequency is certified "
        f"up to an l2 norm of the radius and {each}."
    )


def saved_votes(drawn: Int[np.ndarray, "points"], settings: Mapping[str, Any]) -> Table:
    """The needs of each radius under both bounds; a note states the votes saved.

    Args:
        drawn: estimation votes of each point, at least one.
        settings: those of the run, with `radii` and `needs`.
    """
    n, n0 = settings["num_estimation"], settings["num_selection"]
    needed = settings["needs"]
    fixed, anytime = needed["clopper_pearson"], needed["sequential"]
    pairs = zip(settings["radii"], fixed["radii"], anytime["radii"], strict=True)
    rows, lost = [], []
    for radius, (votes, unanimous), (votes_anytime, unanimous_anytime) in pairs:
        numbers = (votes, votes_anytime, unanimous, unanimous_anytime)
        rows.append([f"{radius:g}", *map(_number, numbers)])
        if votes is not None and votes_anytime is None:
            lost.append(f"{radius:g}")
    mean = float(np.mean(drawn))
    return Table(
        [
            "radius", f"of {n:,}, fixed", f"of {n:,}, sequential",
            "unanimous, fixed", "unanimous, sequential",
        ],
        rows,
        [
            f"votes that certify a radius; {DASH}: out of reach",
            "only these radii are tested: ACR and the curve between them are lower "
            "bounds",
            f"{mean:,.0f} votes a point (median {np.median(drawn):,.0f}, all "
            f"{n:,} at {np.mean(drawn == n):.0%} of points): {n / mean:.1f} times "
            f"fewer than n={n:,}; {(n0 + n) / (n0 + mean):.1f} times with the "
            f"n0={n0:,} that choose the class",
            f"largest radius {anytime['cap']:.4g} instead of {fixed['cap']:.4g}; "
            f"asked radii that only a fixed n reaches: {', '.join(lost) or 'none'}",
        ],
    )  # fmt: skip


def _number(votes: int | None) -> str:
    return DASH if votes is None or votes > 10**9 else f"{votes:,}"
