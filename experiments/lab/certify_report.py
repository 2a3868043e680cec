"""Reports of certification runs: their origin, tables and a figure."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Int

from advjax.metrics import Share, share_of
from advjax.reports import figures, tables
from advjax.reports.files import write_report
from advjax.reports.page import Block, Heading, Settings
from advjax.reports.tables import DASH, Table
from advjax.runs import folder as runs
from advjax.runs.row_types import CERTIFICATES, Run
from advjax.runtime.progress import duration
from experiments.lab import caveats, origins
from experiments.lab.run_labels import label_of


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
    radii: Sequence[float] | None = None,
) -> str:
    """The text of a report; writes `report.md`, its tables and `curve.png` into `out`.

    Args:
        folders: of the runs.
        out: the folder of the report.
        radii: of the table; by default those of `PUBLICATION_RADII` that a run can
            certify.
    """
    found = [read_run(folder) for folder in folders]
    each = [runs.description(folder)["settings"] for folder in folders]
    if radii is None:
        largest = max(run.cap for run in found)
        radii = [radius for radius in tables.PUBLICATION_RADII if radius <= largest]
    table = tables.certified_accuracy_table(found, list(radii))
    out.mkdir(parents=True, exist_ok=True)
    parts: list[Block] = [
        Heading("Certified accuracy", 1),
        "Randomized smoothing (Cohen et al. 2019): within the certified radius of a "
        "clip, no perturbation changes the smoothed classifier's prediction, except "
        "with the failure probability α.",
        Heading("Runs"),
        Settings(summary(folders)),
        Heading("Accuracy at each radius"),
        table,
    ]
    texts, missing = [tables.as_text(table)], []
    try:
        figures.certified_accuracy_plot(
            found,
            out / "curve.png",
            units=" / ".join(sorted(set(map(_units, each)))),
            title=_title(found, each),
        )
        parts.append("![certified accuracy over the radius](curve.png)")
    except ImportError:
        missing = ["(no plot: pip install matplotlib)"]
    for run, settings in zip(found, each, strict=True):
        if "needs" in settings:
            saved = saved_votes(run.rows.n, settings)
            parts += [Heading(f"Votes of {run.label}"), saved]
            texts.append(tables.as_text(saved))
    parts += [_tones(settings) for settings in each if "tone_db" in settings["noise"]]
    remarks = caveats.of_runs(folders)
    write_report(out / "report.md", [*parts, *remarks], origin=origins.of_runs(folders))
    return "\n\n".join(texts + remarks + missing)


def summary(folders: Sequence[pathlib.Path]) -> Table:
    """The origin and settings of runs, a column each; a dash where a run lacks one."""
    columns = [_facts(folder) for folder in folders]
    names = list(dict.fromkeys(name for facts in columns for name in facts))
    return Table(
        ["", *(label_of(runs.description(f)["settings"]) for f in folders)],
        [[name, *(facts.get(name, DASH) for facts in columns)] for name in names],
    )


def _facts(folder: pathlib.Path) -> dict[str, str]:
    """The origin and settings of a run, as far as its `run.json` has them."""
    described = runs.description(folder)
    settings, origin = described["settings"], described["environment"]
    rows, outcome = CERTIFICATES.read(folder), described["outcome"]
    seconds, n = float(np.sum(rows.time)), settings.get("num_estimation")
    noise = settings["noise"]
    took = f"{duration(seconds)}, {duration(seconds / len(rows))} a clip"
    facts = origins.facts(settings, origin, duration=took) | {
        "clips": f"{len(rows)} of the test split{_out_of(origin)}; they are "
        f"{caveats.cut_from(rows.id)}",
        "noise": f"{noise['law']}, σ = {noise['sigma']:g}, at {_units(settings)}",
        "votes to select a class (n0)": settings.get("num_selection"),
        "votes to bound its probability (n)": n and f"{n:,}",
        "failure probability of a certificate (α)": settings.get("alpha"),
        "bound": settings.get("bound"),
        "precision": settings.get("precision"),
        "engine": settings.get("engine"),
        "seed": settings.get("seed"),
        "largest possible radius": f"{settings['cap']:.4g}",
    }
    if "base_accuracy" in outcome:
        base = Share(**outcome["base_accuracy"])
        facts["accuracy without noise or smoothing"] = tables.share_text(base)
    smoothed = tables.share_text(share_of(rows.correct))
    facts["accuracy of the smoothed classifier"] = smoothed
    return {name: str(value) for name, value in facts.items() if value is not None}


def _out_of(origin: Mapping[str, Any]) -> str:
    total = origin.get("num_test_clips")
    return "" if total is None else f", which has {total}"


def _title(found: Sequence[Run], each: Sequence[Mapping[str, Any]]) -> str:
    """Lines above the curve: the run, its votes and clips, and the band."""
    shared = {
        name: {settings.get(name) for settings in each}
        for name in ("num_selection", "num_estimation", "alpha")
    }
    signs = {"num_selection": "n0", "num_estimation": "n", "alpha": "α"}
    votes = [
        f"{signs[name]} = {value:,}"
        for name, values in shared.items()
        for value in values
        if len(values) == 1 and value is not None
    ]
    clips = {len(run.rows) for run in found}
    if len(clips) == 1:
        votes.append(f"{clips.pop()} clips")
    if len(found) <= figures.MOST_BANDS:
        votes.append("band: 95 % interval")
    name = found[0].label if len(found) == 1 else f"{len(found)} runs"
    return f"Certified accuracy: {name}\n{', '.join(votes)}"


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
