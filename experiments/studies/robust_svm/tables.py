"""The tables of the study of the classical pipeline."""

import functools
import pathlib
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple

import numpy as np

from advjax.metrics.clustered import ClusteredShare
from advjax.metrics.robustness import success_rate_auc
from advjax.reports.tables import DASH, Table, percent_text
from advjax.runs.cells import ANY, Real
from advjax.runs.columns import concatenate
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import Schema
from experiments.lab import certify_report
from experiments.lab.study_tables import listing
from experiments.studies.robust_svm import published
from experiments.studies.robust_svm.results import (
    Columns,
    Result,
    Transferred,
    is_right,
)
from experiments.studies.robust_svm.victims import (
    CURVED,
    EPS,
    INPUTS,
    NETWORKS,
    STAGES,
    SURVEYED,
    TRANSFERRED,
    Planned,
    run_name,
)

INPUT_TITLES = {"dwt": "DWT", "stft": "STFT", "crp": "cross-recurrence plot"}
INTERVALS = (
    "in brackets or below a rate: its 95 % interval by bootstrap over recordings, as "
    "several clips may be of one; where all clips agree, Clopper and Pearson's for as "
    "many recordings"
)
WORST = ("fgsm", "bim_a", "bim_b", "nes", "pgd")
"""The attacks within a linf norm."""
RADII = (0.0, 0.05, 0.1, 0.2, 0.3)


class AttackedRow(NamedTuple):
    """One attack on one clip of one cell: a line of attacked.tsv."""

    cell: str
    attack: str
    id: str
    label: int
    clean: int
    predict: int
    success: bool
    linf: Annotated[float, Real(words=ANY, format=".6g")]
    l2: Annotated[float, Real(words=ANY, format=".6g")]
    l0: int
    queries: int


ATTACKED = Schema(AttackedRow, "attacks of all cells")


def write_every_row(out: pathlib.Path) -> None:
    """Write attacked.tsv from the runs of all cells."""
    lines = []
    for file in sorted(out.glob("cells/*/*/*/*/*/rows.tsv")):
        if file.parent.name == "certified":
            continue
        cell = "/".join(file.parts[-6:-2])
        for row in ATTACK_ROWS.read(file.parent):
            values = [getattr(row, name) for name in AttackedRow._fields[2:]]
            lines.append(AttackedRow(cell, file.parent.name, *values))
    if lines:
        ATTACKED.write(out / "attacked.tsv", lines)


def _text(share: ClusteredShare | None) -> str | None:
    return None if share is None else percent_text(share)


NAME: Columns = {"classifier": lambda each: each.title}
ACCURACY: Columns = {"accuracy %": lambda each: percent_text(each.accuracy)}


def num_right(each: Result) -> str | None:
    """The number of attacked clips that are classified right without attack."""
    rows = each.rows("pgd", EPS)
    return None if rows is None else f"{is_right(rows).sum()}"


def worst(each: Result) -> str | None:
    """The share of clips on which any attack within `EPS` succeeds."""
    every = [each.success(attack, EPS) for attack in WORST]
    found = [won for won in every if won is not None]
    if not found:
        return None
    hits = [any(won[id] for won in found) for id in found[0]]
    return percent_text(each.share(hits, [*found[0]]))


def pgd_auc(each: Result, budgets: Sequence[float]) -> str | None:
    """The area under success, each clip fooled from its smallest budget on."""
    runs = [each.rows("pgd", budget) for budget in budgets]
    if None in runs:
        return None
    sizes = np.full(len(runs[0].success), np.inf)
    for budget, rows in reversed([*zip(budgets, runs, strict=True)]):
        sizes[rows.success] = budget
    counted = sizes[is_right(runs[0])]
    return f"{success_rate_auc(counted, budgets[-1]):.2f}" if len(counted) else None


def _fooled(attacks: Mapping[str, Planned], names: Sequence[str]) -> Columns:
    return {
        attacks[name].title: lambda each, name=name: _text(
            each.fooled(name, EPS if attacks[name].budgets else None)
        )
        for name in names
    }


def corpus_tables(
    by_input: Mapping[str, Sequence[Result]], attacks: Mapping[str, Planned]
) -> dict[str, Table]:
    """The tables of attacks on one corpus by title."""
    every, budgets = by_input[INPUTS[0]], attacks["pgd"].budgets
    moved = {input: Transferred(found) for input, found in by_input.items()}
    main = moved[INPUTS[0]]
    right: Columns = {"n": num_right}
    auc: Columns = {"PGD AUC": lambda each: pgd_auc(each, budgets)}
    smallest: Columns = {
        f"{attacks[attack].title}, l2": functools.partial(_median_l2, attack=attack)
        for attack in ("jsma", "carlini_wagner")
    }
    transferred: Columns = {
        attacks[name].title: lambda each, name=name: _text(
            main.fooled(
                each,
                {*NETWORKS} - {each.name},
                [run_name(name, EPS if attacks[name].budgets else None)],
            )
        )
        for name in TRANSFERRED
    }
    at_eps = [
        run_name(name, EPS if attacks[name].budgets else None) for name in TRANSFERRED
    ]
    matrix: Columns = NAME | {
        _title(source): lambda each, source=source: _text(
            main.fooled(each, [source], at_eps)
        )
        for source in main.sources()
    }
    return {
        "Attacked by itself": listing(
            [each for each in every if each.rows("fgsm", EPS)],
            NAME
            | ACCURACY
            | right
            | _fooled(attacks, [*attacks])
            | {f"any, {EPS:g}": worst}
            | auc,
            [
                "fooled %, each classifier attacked by its own gradients or scores; n: "
                "clips that are attacked and classified right",
                f"any, {EPS:g}: at least one of FGSM, BIM, NES and PGD succeeds within "
                "that norm",
                f"PGD AUC: area under success over budgets up to {budgets[-1]:g}",
            ],
        ),
        "Accuracy over the budget": budget_table(every, main, budgets),
        "Smallest perturbations": listing(
            [
                each
                for each in every
                if each.rows("jsma") and each.rows("carlini_wagner")
            ],
            NAME | smallest,
            ["median over the successes on correctly predicted clips"],
        ),
        "Transferred": listing(
            main.results,
            NAME | transferred,
            [
                "fooled % by examples made on AlexNet and GoogLeNet, successful there "
                "or not, as in the publication; of clips that both classifiers predict "
                "correctly"
            ],
        ),
        "Transfer, all attacks pooled": listing(
            main.results,
            matrix,
            [
                "asked in the first column, made on the others; fooled %; on the "
                "classifier that they were made on, too; of clips that both predict "
                "correctly"
            ],
        ),
        "The machine itself": machine_table(every),
        "Without stages": listing(
            [each for each in every if each.name in ("surf_svm", *STAGES)],
            {"pipeline": NAME["classifier"]}
            | ACCURACY
            | right
            | {"transferred": lambda each: _text(main.fooled(each, NETWORKS, at_eps))}
            | _fooled(attacks, ["pgd"]),
            ["fooled %; the other options are those of the whole pipeline"],
        ),
        "Inputs": _inputs_table(by_input, moved, attacks),
        "Cost": listing(
            every,
            NAME
            | {
                "fit s": lambda each: _number(each.costs.get("fit_seconds"), ".0f"),
                "ms a clip": lambda each: _number(each.costs.get("ms_a_clip"), ".2f"),
                "parameters": lambda each: _number(
                    each.costs.get("num_parameters"), ",.0f"
                ),
            }
            | ACCURACY
            | auc,
            [
                "means over the folds; single timings, which other programs disturb; "
                "ratios: surf_svm_speed"
            ],
        ),
    }


def _title(name: str) -> str:
    return Result(name, {}).title


def _inputs_table(
    by_input: Mapping[str, Sequence[Result]],
    moved: Mapping[str, Transferred],
    attacks: Mapping[str, Planned],
) -> Table:
    listed = [
        (input, each)
        for input, found in by_input.items()
        for each in found
        if each.name in SURVEYED
    ]
    run = [run_name("bim_b", EPS)]
    columns = {
        "input": lambda pair: INPUT_TITLES[pair[0]],
        "classifier": lambda pair: pair[1].title,
        "accuracy %": lambda pair: percent_text(pair[1].accuracy),
        "PGD": lambda pair: _text(pair[1].fooled("pgd", EPS)),
        "transferred": lambda pair: _text(
            moved[pair[0]].fooled(pair[1], {*NETWORKS} - {pair[1].name}, run)
        ),
    }
    note = (
        "fooled %; transferred: BIM-b made on AlexNet and GoogLeNet of the input; the "
        f"pipeline's settings are those chosen on {INPUT_TITLES[INPUTS[0]]} images"
    )
    return listing(listed, columns, [note])


def budget_table(
    every: Sequence[Result], moved: Transferred, budgets: Sequence[float]
) -> Table:
    """Accuracy at each budget, under transferred and under adaptive attacks."""
    rows = []
    for each in every:
        for kind, shares in curves(each, moved, budgets).items():
            if shares:
                rows.append([each.title, kind, *map(percent_text, shares)])
    notes = [
        "accuracy % on the attacked clips; transferred: under the worst of FGSM and "
        "BIM-b made on AlexNet and GoogLeNet, of a network on the other one; adaptive: "
        "PGD with restarts by the classifier's own gradients (BPDA)",
        "a clip that is misclassified within a budget is so within every larger one",
    ]
    header = ["classifier", "attack", *(f"{size:g}" for size in (0.0, *budgets))]
    return Table(header, rows, notes)


def curves(
    each: Result, moved: Transferred, budgets: Sequence[float]
) -> dict[str, list[ClusteredShare] | None]:
    """Accuracy without attack and at each budget, by the kind of attack."""
    return {
        "transferred": moved.under_attack(each, NETWORKS, CURVED, budgets),
        "adaptive": each.under_attack("pgd", budgets),
    }


def _median_l2(each: Result, *, attack: str) -> str | None:
    rows = each.rows(attack)
    sizes = rows.l2[is_right(rows) & rows.success]
    return f"{np.median(sizes):.3f}" if len(sizes) else None


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else f"{value:{form}}"


def machine_table(every: Sequence[Result]) -> Table:
    """Accuracy of each machine under evasion and flipped labels."""
    rows, header = [], []
    for each in every:
        if not each.machine:
            continue
        kinds: dict[str, list] = {}
        for row in each.machine:
            strength = f" {row.strength:g}" if row.strength else ""
            kinds.setdefault(row.attack + strength, []).append(row)
        header = [*kinds]
        first = next(iter(kinds.values()))
        clean = each.share([row.clean for row in first], [row.id for row in first])
        after = [
            percent_text(each.share([row.after for row in of], [row.id for row in of]))
            for of in kinds.values()
        ]
        rows.append([each.title, percent_text(clean), *after])
    notes = [
        "accuracy % on all test clips, without attack as in the other tables; evasion: "
        "of the machine's inputs, by shares of the mean norm; flips: shares of the "
        "training labels",
        "refitted: the control, fitted again as for flipped labels but with none",
    ]
    return Table(["machine of", "accuracy %", *header], rows, notes)


def certified_table(
    found: Mapping[str, Sequence[pathlib.Path]], every: Sequence[Result]
) -> Table:
    """Certified accuracies of each smoothed classifier, its folds pooled.

    Args:
        found: the runs by the name of the classifier without noise.
        every: these classifiers, which know the recordings of clips.
    """
    rows = []
    for each in every:
        runs = [certify_report.read_run(f) for f in found.get(each.name, ())]
        if not runs:
            continue
        pooled, cap = concatenate([run.rows for run in runs]), min(r.cap for r in runs)
        texts = [
            DASH
            if radius > cap
            else percent_text(
                each.share(pooled.correct & (pooled.radius >= radius), pooled.id)
            )
            for radius in RADII
        ]
        rows.append([f"{each.title}, smoothed", f"{len(pooled)}", *texts])
    header = ["classifier", "clips", *(f"r={radius:g}" for radius in RADII)]
    notes = [
        f"certified accuracy %; {DASH}: beyond the largest radius that the votes can "
        "certify; trained and smoothed with Gaussian noise at the image"
    ]
    return Table(header, rows, notes)


def published_table(by_input: Mapping[str, Sequence[Result]], corpus: str) -> Table:
    """Our networks' accuracies beside those of the networks they are taken from."""
    rows = []
    for (of, kind), entries in published.BASELINES.items():
        if of != corpus:
            continue
        inputs = ["crp"] if kind == "crp" else ["stft", "dwt"]
        title = INPUT_TITLES.get(kind, kind)
        rows.append([title, "Boddapati", *(f"{entry:g}" for entry in entries)])
        for input in inputs:
            known = {each.name: each for each in by_input[input]}
            if known.keys() & set(NETWORKS):
                texts = [
                    percent_text(known[name].accuracy) if name in known else DASH
                    for name in NETWORKS
                ]
                rows.append([INPUT_TITLES[input], "ours", *texts])
    notes = [
        "accuracy %; Boddapati: the networks that the publication compares with, on "
        "all clips at full size, without an interval; the tables "
        "of the publication itself are in no text that could be read",
    ]
    return Table(["input", "network of", "AlexNet", "GoogLeNet"], rows, notes)
