"""Reports of runs of attacks: a table, warnings, pictures and sounds."""

import itertools
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np

from advjax.metrics.robustness import (
    accuracy_under_attack,
    attackable,
    fooling_rate,
    off_target,
)
from advjax.metrics.shares import share_of
from advjax.reports import figures, page, tables
from advjax.reports.files import write_report
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runtime.atomic import new_file
from experiments.lab import budgets, caveats, listening_page, origins, wav_pairs
from experiments.lab.run_labels import label_of, title_of
from experiments.lab.successes import NO_PLOTS


def report(
    folders: Sequence[pathlib.Path],
    out: pathlib.Path,
    *,
    audio: Mapping[pathlib.Path, pathlib.Path] | None = None,
) -> str:
    """The text of a report; writes it, its tables, page and figures into `out`.

    Args:
        folders: of the runs.
        out: the folder of the report.
        audio: folders of WAV pairs for the page, by run; by default the run's own.
    """
    table = attack_table(folders)
    out.mkdir(parents=True, exist_ok=True)
    top: list[page.Block] = [page.Heading("Attacks", 1), table]
    texts = [tables.as_text(table)]
    try:
        alt = "Accuracy under attack over the size of the perturbation"
        top += [page.Picture(out / name, alt) for name in _draw(folders, out)]
    except ImportError:
        texts.append(f"({NO_PLOTS})")
    for warning in masking_warnings(folders):
        top.append(page.Caution(warning))
        texts.append(f"warning: {warning}")
    rest: list[page.Block] = []
    for folder in folders:
        if pairs := wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE):
            title = title_of(runs.description(folder)["settings"])
            rest += [page.Heading(f"WAVs of {title}"), wav_pairs.table(pairs)]
    remarks = [*caveats.recordings_of(folders), *caveats.of_runs(folders)]
    rest += remarks
    write_report(out / "report.md", [*top, *rest], origin=origins.of_runs(folders))
    title, facts = listening_page.origin(folders)
    heard = listening_page.blocks(folders, audio or {})
    content = page.as_page(title, [*top, *heard, *rest], facts=facts)
    with new_file(out / "report.html") as aside:
        aside.write_text(content, encoding="utf-8")
    return "\n\n".join(texts + remarks)


def attack_table(folders: Sequence[pathlib.Path]) -> tables.Table:
    """A row for each run: accuracy before and after, and the cost of success."""
    lines, notes, held, finished = [], [], [], []
    for folder in folders:
        settings = runs.description(folder)["settings"]
        rows, norm = ATTACK_ROWS.read(folder), settings["norm"]
        counted = attackable(rows.label, rows.clean, rows.target)
        kept = off_target(rows.label, rows.clean, rows.target)
        correct = rows.clean == rows.label
        won = rows.success & counted
        lines.append(
            [
                label_of(settings),
                settings["budget"] or tables.DASH,
                f"{len(rows.id)}",
                tables.share_text(share_of(correct[kept])),
                tables.share_text(share_of((correct & ~rows.success)[kept])),
                tables.share_text(share_of(rows.success[counted])),
                _number(np.median, rows.snr_db[won], ".1f"),
                _number(np.median, getattr(rows, norm)[won], ".4g", f" ({norm})"),
                _number(np.mean, rows.queries[counted], ".0f"),
                _number(np.median, rows.zero_gradient[counted], ".2f"),
            ]
        )
        held.append(_held(rows, counted))
        finished.append("finish" in settings)
        if finished[-1]:
            begun = np.sum((rows.success_float32 == 1) & counted)
            notes.append(
                f"{title_of(settings)}: {begun - np.sum(won)} of {begun} successes "
                "hold in no file of 16 bits and count as none"
            )
        if settings["target"]:
            notes.append(
                f"{title_of(settings)}: {np.sum(~kept)} of {len(kept)} points are in "
                "no rate: of the class to reach, or predicted as it before the attack"
            )
    header = [
        "attack", "budget", "points", "clean", "attacked", "fooled", "SNR in dB",
        "size", "queries", "zero gradient",
    ]  # fmt: skip
    # A finished success holds: the column would repeat the one before.
    if not all(finished) and any(cell != tables.DASH for cell in held):
        place = header.index("fooled") + 1
        header.insert(place, "in a file")
        for line, cell in zip(lines, held, strict=True):
            line.insert(place, cell)
        notes.append("in a file: share whose success holds in a file of 16 bits")
    saved = [wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE) for folder in folders]
    if any(saved):
        header.append("WAVs that still fool")
        for line, pairs in zip(lines, saved, strict=True):
            line.append(wav_pairs.still_fooling(pairs) or tables.DASH)
        notes.append("WAVs: of the pairs of files that --save_audio wrote")
    return tables.Table(
        header,
        lines,
        [
            "clean, attacked: accuracy before and under attack; fooled: share of the "
            "initially right ones; SNR, size: medians of the fooled ones; queries: "
            "forward passes, mean over the initially right ones; zero gradient: their "
            "median share of entries without any",
            tables.INTERVAL_NOTE,
            *dict.fromkeys(notes),
        ],
    )


def _held(rows, counted) -> str:
    """Share of the clips that are fooled by a file; a dash where none was judged."""
    judged = rows.success_pcm16[counted & (rows.success_pcm16 >= 0)]
    return tables.share_text(share_of(judged == 1))


def _number(statistic, values, form: str, unit: str = "") -> str:
    return f"{statistic(values):{form}}{unit}" if len(values) else tables.DASH


def _draw(folders: Sequence[pathlib.Path], out: pathlib.Path) -> list[str]:
    """Draw accuracy over the budget for each stage and unit; return the files' names.

    A lone budget makes no figure: the table has its accuracy. Where sizes are decibels,
    which no size is 0 of, the accuracy without an attack is a line of its own.
    """
    names = []
    for (stage, unit), drawn in curves(folders).items():
        decibels = {"dB": "signal-to-noise ratio (dB)", "dBFS": "perturbation (dBFS)"}
        attacked = [
            curve.size if unit in decibels else curve.size[curve.size > 0]
            for curve in drawn
        ]
        if not any(
            len(sizes) > (not curve.stepped)
            for sizes, curve in zip(attacked, drawn, strict=True)
        ):
            continue
        ends = np.array([np.min(np.hstack(attacked)), np.max(np.hstack(attacked))])
        clean = [
            figures.AttackedCurve(label, ends, np.full(2, accuracy), stepped=True)
            for label, accuracy in _clean_accuracies(folders, stage, unit)
        ]
        name = f"accuracy_{stage}_{unit}.png"
        figures.attacked_accuracy_plot(
            [*drawn, *clean],
            out / name,
            x_label=decibels.get(unit, f"{unit} norm of the perturbation (in {stage})"),
            weaker_to_the_right=unit == "dB",
        )
        names.append(name)
    return names


def _clean_accuracies(
    folders: Sequence[pathlib.Path], stage: str, unit: str
) -> list[tuple[str, float]]:
    """A name and the accuracy without an attack, of runs with such budgets in dB."""
    found = []
    for folder in folders:
        settings = runs.description(folder)["settings"]
        text = settings["budget"]
        if (
            text is None
            or budgets.parse(text)[1] != unit
            or settings["perturbation_enters_at"] != stage
        ):
            continue
        rows = ATTACK_ROWS.read(folder)
        kept = off_target(rows.label, rows.clean, rows.target)
        if kept.any():
            accuracy = float(np.mean((rows.clean == rows.label)[kept]))
            found.append((f"without an attack, {settings['defence']}", accuracy))
    return list(dict.fromkeys(found))


def curves(
    folders: Sequence[str | pathlib.Path],
) -> dict[tuple[str, str], list[figures.AttackedCurve]]:
    """Curves by stage and unit of budget; runs that differ in the budget make one."""
    points: dict[tuple, dict[float, float]] = {}
    found: dict[tuple[str, str], list[figures.AttackedCurve]] = {}
    for folder in folders:
        settings = runs.description(folder)["settings"]
        rows = ATTACK_ROWS.read(folder)
        kept = off_target(rows.label, rows.clean, rows.target)
        if not kept.any():
            continue
        correct, success = (rows.clean == rows.label)[kept], rows.success[kept]
        stage, norm = settings["perturbation_enters_at"], settings["norm"]
        label = label_of(settings)
        if settings["budget"] is None:
            sizes = np.where(success, getattr(rows, norm)[kept], np.inf)
            edges = np.unique(np.append(sizes[correct & success], 0.0))
            left = [accuracy_under_attack(correct, sizes <= edge) for edge in edges]
            curve = figures.AttackedCurve(label, edges, np.asarray(left), stepped=True)
            found.setdefault((stage, norm), []).append(curve)
            continue
        size, unit = budgets.parse(settings["budget"])
        key = (stage, unit or norm, label, settings["classifier"])
        curve = points.setdefault(key, {} if unit else {0.0: float(np.mean(correct))})
        curve[size] = accuracy_under_attack(correct, success)
    for (stage, unit, label, _), curve in points.items():
        size, accuracy = np.asarray(sorted(curve.items())).T
        found.setdefault((stage, unit), []).append(
            figures.AttackedCurve(label, size, accuracy)
        )
    return found


_SAME = ("classifier", "budget", "norm", "perturbation_enters_at", "target")
"""Settings of attacks whose success can be compared."""


def masking_warnings(folders: Sequence[pathlib.Path]) -> list[str]:
    """Signs that gradients are masked, so that success says little of robustness."""
    found, known = [], []
    for folder in folders:
        settings, rows = runs.description(folder)["settings"], ATTACK_ROWS.read(folder)
        counted = attackable(rows.label, rows.clean, rows.target)
        if not counted.any():
            continue
        known.append((settings, fooling_rate(counted, rows.success)))
        share = float(np.median(rows.zero_gradient[counted]))
        if share > 0.5 and not settings["black_box"]:
            found.append(
                f"{label_of(settings)}: half of the examples have {share:.0%} or more "
                "gradients of exactly zero; gradients may be masked"
            )
    for (one, black), (two, white) in itertools.permutations(known, 2):
        if (
            all(one[key] == two[key] for key in _SAME)
            and one["black_box"]
            and not two["black_box"]
            and black > white
        ):
            found.append(
                f"{label_of(one)} fools {black:.2f}, more than the white-box "
                f"{label_of(two)} with {white:.2f}: gradients may be masked"
            )
    return found
