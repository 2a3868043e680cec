"""Reports of runs of attacks: a table, warnings, pictures and sounds."""

import itertools
import pathlib
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

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
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from advjax.runtime.text import printable
from experiments.lab import budgets, caveats, wav_pairs
from experiments.lab.adversarial_examples import check_example, examples
from experiments.lab.audio import has_inverse, onward, waveform_of
from experiments.lab.console import say
from experiments.lab.image_axes import image_axes
from experiments.lab.run_labels import label_of
from experiments.lab.task import System

_NO_PLOTS = "no figures: pip install matplotlib"
_ID_LETTERS = 14
"""Letters of a clip's id in a line beside its pictures."""


def report(folders: Sequence[pathlib.Path], out: pathlib.Path) -> str:
    """The text of a report; writes `report.md` and figures into `out`."""
    table = attack_table(folders)
    out.mkdir(parents=True, exist_ok=True)
    parts, texts = ["# Attacks", tables.as_markdown(table)], [tables.as_text(table)]
    try:
        parts += [f"![{name}]({name})" for name in _draw(folders, out)]
    except ImportError:
        texts.append(f"({_NO_PLOTS})")
    for warning in masking_warnings(folders):
        parts.append(f"**Warning**: {warning}")
        texts.append(f"warning: {warning}")
    for folder in folders:
        if pairs := wav_pairs.read(folder / wav_pairs.EXAMPLES_FILE):
            title = _title(runs.description(folder)["settings"])
            parts += [f"## WAVs of {title}", tables.as_markdown(wav_pairs.table(pairs))]
    remarks = caveats.of_runs(folders)
    content = "\n\n".join(parts + remarks) + "\n"
    (out / "report.md").write_text(content, encoding="utf-8")
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
                f"{_title(settings)}: {begun - np.sum(won)} of {begun} successes hold "
                "in no file of 16 bits and count as none"
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


def _title(settings: Mapping[str, Any]) -> str:
    """A run's name among runs that differ in the budget."""
    budget = settings["budget"]
    return f"{label_of(settings)}, {budget}" if budget else label_of(settings)


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


class Success(NamedTuple):
    """One success of a run.

    Attributes:
        row: of the run.
        x_adv: the adversarial example, at the stage that was attacked.
        clean: the clean clip at every stage of the chain, by name.
    """

    row: AttackRow
    x_adv: Float[np.ndarray, "*features"]
    clean: Mapping[str, Float[np.ndarray, "..."]]


def successes(system: System, folder: pathlib.Path) -> Iterator[Success]:
    """The successes of a run on clips that can be attacked, each checked.

    Raises:
        Damaged: an example is not the one that its row describes.
    """
    rows = ATTACK_ROWS.read(folder)
    won = rows.success & attackable(rows.label, rows.clean, rows.target)
    if not won.any():
        return
    count = int(runs.description(folder)["settings"]["num_points"])
    places = {point.id: n for n, point in enumerate(system.test_points(count))}
    stored, source = examples(folder, places), system.data.split("test")
    for number, row in enumerate(rows):
        if won[number]:
            clip, x_adv = source[int(row.idx)]["audio"], np.asarray(stored[row.id])
            clean = {
                stage.name: evaluation.stage_features(stage, clip)
                for stage in system.representation.chain()
            }
            check_example(rows, number, clean[system.stage.name], x_adv, folder)
            yield Success(row, x_adv, clean)


def show(
    system: System, folder: pathlib.Path, *, count: int, audio_format: str | None
) -> None:
    """Draw the first successes and, if wanted, write and judge WAV pairs of them.

    The figure shows clean, adversarial and their difference at the network's input.
    WAVs need an inverse of every step before the stage that was attacked.

    Args:
        system: whose classifier was attacked.
        folder: the run's.
        count: the number of successes.
        audio_format: "pcm16", or "float32" for such files beside those of 16 bits; None
            for no WAVs.
    """
    representation, stage = system.representation, system.stage
    labels = system.classifier.labels
    if audio_format and not all(map(has_inverse, stage.chain()[1:])):
        say(f"no WAV: {stage.name} cannot be turned back into a waveform")
        audio_format = None
    formats = dict.fromkeys(["pcm16", audio_format]) if audio_format else ()
    ids, panels, titles, pairs = [], [], [], []
    for each in itertools.islice(successes(system, folder), count):
        row = each.row
        ids.append("\n".join(textwrap.wrap(printable(row.id), _ID_LETTERS)))
        for kind in formats:
            pairs.append(_pair(system, folder, each, kind))
        before = each.clean[representation.name]
        after = np.asarray(onward(representation, stage.name, each.x_adv))
        panels.append([before, after, after - before])
        clean, fooled = (printable(labels[n]) for n in (row.clean, row.predict))
        change = f"difference, SNR {row.snr_db:.1f} dB"
        titles.append([f"clean: {clean}", f"attacked: {fooled}", change])
    if pairs:
        wav_pairs.write(folder / wav_pairs.EXAMPLES_FILE, pairs)
        fooling = wav_pairs.still_fooling(pairs)
        say(f"            WAV pairs that still fool: {fooling}; examples.tsv has each.")
    images = np.asarray(panels)
    if images.ndim != 5:
        return
    try:
        figures.image_grid_plot(
            images[..., 0],
            folder / "examples.png",
            row_labels=ids,
            titles=titles,
            units=representation.name,
            title="Clean, attacked, and their difference, at the network's input",
            last_is_difference=True,
            **image_axes(representation)._asdict(),
        )
    except ImportError:
        say(_NO_PLOTS)


def _pair(system: System, folder, each: Success, audio_format: str):
    """One success as a pair of WAVs in the run's folder."""
    row, root = each.row, system.representation.chain()[0].name
    texts = (row.id, system.classifier.labels[row.label])
    names = [*map(wav_pairs.safe_name, texts)]
    if audio_format != "pcm16":
        names.append(audio_format)
    return wav_pairs.save_pair(
        folder / "_".join(names),
        each.clean[root],
        waveform_of(system.stage, each.x_adv, each.clean),
        system.classifier,
        id=row.id,
        label=int(row.label),
        target=int(row.target),
        audio_format=audio_format,
    )
