"""Reports of runs of attacks: a table, warnings, pictures and sounds."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from advjax import evaluation
from advjax.metrics.robustness import (
    accuracy_under_attack,
    attackable,
    fooling_rate,
    off_target,
)
from advjax.metrics.shares import share_of
from advjax.reports import figures, tables
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS
from experiments.lab import budgets, caveats, wav_pairs
from experiments.lab.adversarial_examples import check_example, examples
from experiments.lab.audio import has_inverse, onward, waveform_of
from experiments.lab.console import say
from experiments.lab.run_labels import label_of
from experiments.lab.task import System

_NO_PLOTS = "no figures: pip install 'advjax[plots]'"


def report(folders: Sequence[pathlib.Path], out: pathlib.Path) -> str:
    """The text of a report; writes `report.md` and figures into `out`."""
    table = attack_table(folders)
    out.mkdir(parents=True, exist_ok=True)
    parts = ["# Attacks", tables.as_markdown(table)]
    text = tables.as_text(table)
    try:
        parts += [f"![{name}]({name})" for name in _draw(folders, out)]
    except ImportError:
        text += f"\n\n({_NO_PLOTS})"
    for warning in masking_warnings(folders):
        parts.append(f"**Warning**: {warning}")
        text += f"\n\nwarning: {warning}"
    for folder in folders:
        if pairs := wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE):
            title = _title(runs.description(folder)["settings"])
            parts += [f"## WAVs of {title}", tables.as_markdown(wav_pairs.table(pairs))]
    for caveat in caveats.of_runs(folders):
        parts.append(caveat)
        text += f"\n\n{caveat}"
    (out / "report.md").write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return text


def attack_table(folders: Sequence[pathlib.Path]) -> tables.Table:
    """A row for each run: accuracy before and after, and the cost of success."""
    lines, notes = [], []
    for folder in folders:
        settings = runs.description(folder)["settings"]
        rows = ATTACK_ROWS.read(folder)
        name, norm = label_of(settings), settings["norm"]
        counted = attackable(rows.label, rows.clean, rows.target)
        kept = off_target(rows.label, rows.clean, rows.target)
        correct = rows.clean == rows.label
        won = rows.success & counted
        lines.append(
            [
                name,
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
        if settings["target"]:
            notes.append(
                f"{_title(settings)}: {np.sum(~kept)} of {len(kept)} points are in no "
                "rate: of the class to reach, or predicted as it before the attack"
            )
    header = [
        "attack", "budget", "points", "clean", "attacked", "fooled", "SNR in dB",
        "size", "queries", "zero gradient",
    ]  # fmt: skip
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


def _title(settings: Mapping[str, Any]) -> str:
    """A run's name among runs that differ in the budget."""
    budget = settings["budget"]
    return f"{label_of(settings)}, {budget}" if budget else label_of(settings)


def _number(statistic, values, form: str, unit: str = "") -> str:
    """A statistic as text; a dash of no values."""
    return f"{statistic(values):{form}}{unit}" if len(values) else tables.DASH


def _draw(folders: Sequence[pathlib.Path], out: pathlib.Path) -> list[str]:
    """The names of figures of accuracy over budget, one for each stage and unit.

    A lone budget makes no figure: the table says it all.
    """
    names = []
    for (stage, unit), drawn in curves(folders).items():
        if not any(c.stepped or np.count_nonzero(c.size) > 1 for c in drawn):
            continue
        name = f"accuracy_{stage}_{unit}.png"
        what = {"dB": "signal-to-noise ratio (dB)", "dBFS": "perturbation (dBFS)"}
        figures.attacked_accuracy_plot(
            drawn,
            out / name,
            x_label=what.get(unit, f"{unit} norm of the perturbation (in {stage})"),
            weaker_to_the_right=unit == "dB",
        )
        names.append(name)
    return names


def curves(
    folders: Sequence[str | pathlib.Path],
) -> dict[tuple[str, str], list[figures.AttackedCurve]]:
    """Curves by stage and unit of budget; equal runs but for the budget make one."""
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
        size = np.asarray(sorted(curve))
        accuracy = np.asarray([curve[value] for value in size])
        found.setdefault((stage, unit), []).append(
            figures.AttackedCurve(label, size, accuracy)
        )
    return found


def masking_warnings(folders: Sequence[pathlib.Path]) -> list[str]:
    """Signs that gradients are masked, so that success says little of robustness."""
    found = []
    known = []
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
    for (one, black), (two, white) in _pairs(known):
        same = all(
            one[key] == two[key]
            for key in (
                "classifier", "budget", "norm", "perturbation_enters_at", "target",
            )
        )  # fmt: skip
        if same and one["black_box"] and not two["black_box"] and black > white:
            found.append(
                f"{label_of(one)} fools {black:.2f}, more than the white-box "
                f"{label_of(two)} with {white:.2f}: gradients may be masked"
            )
    return found


def _pairs(items):
    return [(a, b) for a in items for b in items if a is not b]


def show(
    system: System,
    folder: pathlib.Path,
    *,
    count: int,
    audio: bool,
    audio_format: str = "pcm16",
) -> None:
    """Draw the first successes and, if wanted, write and judge WAV pairs of them.

    The figure shows clean, adversarial and their difference at the network's input.
    WAVs need an inverse of every step before the stage that was attacked.

    Args:
        system: whose classifier was attacked.
        folder: the run's.
        count: the number of successes.
        audio: whether WAVs are wanted.
        audio_format: "pcm16", or "float32" for such files beside those of 16 bits.
    """
    rows = ATTACK_ROWS.read(folder)
    counted = attackable(rows.label, rows.clean, rows.target)
    chosen = np.flatnonzero(rows.success & counted)
    if not len(chosen):
        return
    stored = examples(folder, places(system, folder))
    source = system.data.split("test")
    if audio and not _can_be_heard(system):
        say(f"no WAV: {system.stage.name} cannot be turned back into a waveform")
        audio = False
    formats = dict.fromkeys(["pcm16", audio_format]) if audio else ()
    panels, titles, names, pairs = [], [], [], []
    for row in chosen[:count]:
        clip = source[int(rows.idx[row])]["audio"]
        clean = clean_stages(system, clip)
        x_adv = np.asarray(stored[rows.id[row]])
        check_example(rows, row, clean[system.stage.name], x_adv, folder)
        labels = system.classifier.labels
        for each in formats:
            pairs.append(
                _pair(system, folder, len(panels), rows, row, x_adv, clean, each)
            )
            say(f"example {len(panels)}, {wav_pairs.in_words(pairs[-1])}")
        before = clean[system.representation.name]
        after = np.asarray(onward(system.representation, system.stage.name, x_adv))
        panels.append([before, after, after - before])
        titles.append(
            [
                labels[rows.clean[row]],
                f"{labels[rows.predict[row]]}, {rows.snr_db[row]:.1f} dB",
                "difference",
            ]
        )
        names.append(f"example {len(panels) - 1}")
    if pairs:
        wav_pairs.write(folder / wav_pairs.EXAMPLES_FILE, pairs)
    images = np.asarray(panels)
    if images.ndim != 5:
        return
    try:
        figures.image_grid_plot(
            images[..., 0],
            folder / "examples.png",
            row_labels=names,
            titles=titles,
            units=system.representation.name,
            title="clean, adversarial, and their difference, at the network's input",
            last_is_difference=True,
        )
    except ImportError:
        say(_NO_PLOTS)


def places(system: System, folder: pathlib.Path) -> dict[str, int]:
    """The number of each id among the points of a run."""
    count = int(runs.description(folder)["settings"]["num_points"])
    return {point.id: n for n, point in enumerate(system.test_points(count))}


def clean_stages(
    system: System, clip: Int[np.ndarray, "time"]
) -> dict[str, Float[np.ndarray, "..."]]:
    """One stored clip at every stage of the chain, by name."""
    return {
        stage.name: evaluation.stage_features(stage, clip)
        for stage in system.representation.chain()
    }


def _can_be_heard(system: System) -> bool:
    """True if every step before the stage has an inverse."""
    steps = system.stage.chain()[1:]
    return all(has_inverse(step) for step in steps)


def _pair(system, folder, number, rows, row, x_adv, clean, audio_format):
    """One success as a pair of WAVs in the run's folder."""
    classifier, root = system.classifier, system.representation.chain()[0].name
    id, label = rows.id[row], int(rows.label[row])
    names = [wav_pairs.safe_name(text) for text in (id, classifier.labels[label])]
    if audio_format != "pcm16":
        names.append(audio_format)
    return wav_pairs.save_pair(
        folder / "_".join([f"example{number}", *names]),
        clean[root],
        waveform_of(system.stage, x_adv, clean),
        sample_rate_hz=system.representation.sample_rate_hz,
        logits_fn=classifier.logits_fn(root),
        labels=classifier.labels,
        id=id,
        label=label,
        target=int(rows.target[row]),
        audio_format=audio_format,
    )
