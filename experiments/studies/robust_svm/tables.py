"""The tables and the figure of PGD in the study of the classical pipeline."""

import functools
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from advjax.metrics.robustness import attackable, success_rate_auc
from advjax.metrics.shares import Share, share_of
from advjax.reports import figures
from advjax.reports.page import Block, Heading
from advjax.reports.tables import (
    INTERVAL_NOTE,
    Table,
    certified_accuracy_table,
    percent_text,
)
from advjax.runs.cells import ANY, Real
from advjax.runs.columns import Rows
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import Schema
from experiments.lab import cached_rows, cell_files, certify_report
from experiments.lab.grid import Found
from experiments.lab.steps import is_whole
from experiments.lab.study_tables import listing, sections
from experiments.studies.robust_svm.machine import Evaded
from experiments.studies.robust_svm.steps import Moved
from experiments.studies.robust_svm.victims import (
    EPS,
    NETWORKS,
    STAGES,
    SURVEYED,
    TRANSFERRED,
    Planned,
    planned,
    run_name,
)

TITLES = {
    "alexnet": "AlexNet",
    "googlenet": "GoogLeNet",
    "plain_svm": "plain SVM",
    "surf_svm": "pipeline, soft",
    "surf_svm_hard": "pipeline, hard",
    "guarded_alexnet": "AlexNet behind enhancement, SVD, autoencoder",
    "surf_svm_no_enhancement": "soft, no enhancement",
    "surf_svm_no_svd": "soft, no SVD",
    "surf_svm_no_autoencoder": "soft, no autoencoder",
    "surf_svm_bare": "soft, none of the three",
}
CORPORA = {"esc50": "ESC-50", "urbansound8k": "UrbanSound8K"}
INPUTS = {"dwt": "DWT", "stft": "STFT", "crp": "cross-recurrence plot"}


def report(found: Found) -> Iterator[Block]:
    """The parts of study.md; draws pgd_CORPUS.png and writes attacked.tsv."""
    yield Heading("The robust classical pipeline under attack", 1)
    yield (
        "Fooled: the share of the clips that a classifier predicts correctly (n of "
        "them) on which an attack succeeds. FGSM, BIM, NES and PGD keep within a linf "
        f"norm of {EPS:g} of images in [0, 1]; JSMA looks for few entries, C&W for a "
        "small l2 norm. Gradients go through the pipeline's counts and key points by "
        "backward pass approximation: the attacker knows the defence.\n\n"
        f"Rates in %; {INTERVAL_NOTE}. Clips of a pooled rate are attacked several "
        "times, and so its interval is too narrow."
    )
    attacks = planned(found.preset)
    for corpus in dict.fromkeys(cell["corpus"] for cell in found.cells):
        where = found.out / "cells" / corpus
        if not (where / "dwt").is_dir():
            continue
        yield Heading(CORPORA[corpus])
        by_input = {input: read(where / input) for input in INPUTS}
        yield from sections(corpus_tables(by_input, attacks), level=3)
        if curves := _pgd_curves(by_input["dwt"], attacks["pgd"].budgets):
            figures.attacked_accuracy_plot(
                curves,
                found.out / f"pgd_{corpus}.png",
                x_label="linf norm of the perturbation of an image in [0, 1]",
                title=f"{CORPORA[corpus]}: PGD by each classifier's own gradients",
            )
            yield f"![accuracy under PGD](pgd_{corpus}.png)"
        if (found.out / f"stages_{corpus}.png").exists():
            yield f"![images behind each stage](stages_{corpus}.png)"
    _write_every_row(found.out)


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


def _write_every_row(out: pathlib.Path) -> None:
    lines = []
    for file in sorted(out.glob("cells/*/*/*/*/rows.tsv")):
        if file.parent.name == "certified":
            continue
        cell = "/".join(file.parts[-5:-2])
        for row in ATTACK_ROWS.read(file.parent):
            values = [getattr(row, name) for name in AttackedRow._fields[2:]]
            lines.append(AttackedRow(cell, file.parent.name, *values))
    ATTACKED.write(out / "attacked.tsv", lines)


class Result(NamedTuple):
    """The finished cell of a classifier.

    Attributes:
        name: of the classifier.
        folder: of the cell.
        results: in cell.json.
        answers: to adversarial examples of clips that this classifier and the attacked
            one predict correctly; None without transfer.tsv.
    """

    name: str
    folder: pathlib.Path
    results: Mapping[str, Any]
    answers: Sequence[Moved] | None

    @property
    def title(self) -> str:
        """Name of the classifier in tables."""
        return TITLES[self.name]

    @property
    def accuracy(self) -> str:
        """Accuracy on all test clips, in %."""
        return self.percent(self.results["accuracy"])

    @property
    def num_right(self) -> str | None:
        """The number of attacked clips that it predicts correctly without attack."""
        rows = self.rows("pgd", EPS)
        return rows and f"{right(rows).sum()}"

    def percent(self, share: float) -> str:
        """A share of all test clips, in %."""
        total = self.results["num_test"]
        return percent_text(Share(round(share * total), total))

    def rows(self, attack: str, budget: float | None = None) -> Rows | None:
        """The rows of one attack; None while the run lacks some."""
        folder = self.folder / run_name(attack, budget)
        return ATTACK_ROWS.read(folder) if is_whole(folder) else None

    def fooled(self, attack: str, budget: float | None = None) -> str | None:
        """The share of correctly predicted clips on which an attack succeeds, in %."""
        rows = self.rows(attack, budget)
        return rows and percent_text(share_of(rows.success[right(rows)]))

    def moved(self, sources: Collection[str], attack: str | None = None) -> str:
        """The share of misclassified examples of these classifiers and attack, in %."""
        hits = [
            row.answer != row.label
            for row in self.answers or ()
            if row.source in sources and attack in (None, row.attack)
        ]
        return percent_text(Share(sum(hits), len(hits)))


def right(rows: Rows) -> Bool[np.ndarray, "rows"]:
    """Clips that the classifier predicts correctly without attack."""
    return attackable(rows.label, rows.clean, rows.target)


def read(folder: pathlib.Path) -> list[Result]:
    """The classifiers of one corpus and input, in the order of `TITLES`."""
    cells = {n: folder / n for n in TITLES if cell_files.has_accuracy(folder / n)}
    answers = {n: cached_rows.read(f / "transfer.tsv", Moved) for n, f in cells.items()}
    known = {
        name: {row.id for row in rows or () if row.clean == row.label}
        for name, rows in answers.items()
    }
    for name, rows in answers.items():
        both = {source: known[name] & ids for source, ids in known.items()}
        if rows is not None:
            answers[name] = [r for r in rows if r.id in both.get(r.source, ())]
    results = {name: cell_files.results(folder) for name, folder in cells.items()}
    return [Result(n, f, results[n], answers[n]) for n, f in cells.items()]


Columns = dict[str, Callable[[Result], str | None]]


def corpus_tables(
    by_input: Mapping[str, Sequence[Result]], attacks: Mapping[str, Planned]
) -> dict[str, Table]:
    """The tables of one corpus by title."""
    every, budgets = by_input["dwt"], attacks["pgd"].budgets
    asked = [each for each in every if each.answers is not None]
    made_on = {row.source for each in asked for row in each.answers}
    name: Columns = {"classifier": lambda each: each.title}
    accuracy: Columns = {"accuracy %": lambda each: each.accuracy}
    auc: Columns = {"PGD AUC": lambda each: pgd_auc(each, budgets)}
    num_right: Columns = {"n": lambda each: each.num_right}

    def fooled(*names: str) -> Columns:
        eps = {each: EPS if attacks[each].budgets else None for each in names}
        return {
            attacks[a].title: functools.partial(Result.fooled, attack=a, budget=eps[a])
            for a in names
        }

    smallest: Columns = {
        f"{attacks[attack].title}, l2": functools.partial(_median_l2, attack=attack)
        for attack in ("jsma", "carlini_wagner")
    }
    transferred: Columns = {
        attacks[a].title: lambda each, a=a: each.moved({*NETWORKS} - {each.name}, a)
        for a in TRANSFERRED
    }
    matrix: Columns = {"asked \\ made on": lambda each: each.title} | {
        title: functools.partial(Result.moved, sources=[source])
        for source, title in TITLES.items()
        if source in made_on
    }
    other_inputs: Columns = {
        "transferred": lambda each: each.moved({*TITLES} - {each.name})
    }
    costs: Columns = {
        "fit s": lambda each: _number(each.results["fit_seconds"], ".0f"),
        "ms a clip": lambda each: _number(each.results["ms_a_clip"], ".2f"),
        "parameters": lambda each: _number(each.results["num_parameters"], ","),
    }
    return {
        "Attacked by itself": listing(
            [each for each in every if each.rows("fgsm", EPS)],
            name | accuracy | num_right | fooled(*attacks) | auc,
            [
                "fooled %, each classifier attacked by its own gradients or scores",
                f"PGD AUC: area under success over budgets up to {budgets[-1]:g}",
            ],
        ),
        "Smallest perturbations": listing(
            [
                each
                for each in every
                if each.rows("jsma") and each.rows("carlini_wagner")
            ],
            name | smallest,
            ["median over the successes on correctly predicted clips"],
        ),
        "Transferred": listing(
            asked,
            name | transferred,
            [
                "fooled % by examples made on AlexNet and GoogLeNet, successful there "
                "or not, as in the publication; of clips that both classifiers predict "
                "correctly"
            ],
        ),
        "Transfer, all attacks pooled": listing(
            asked,
            matrix,
            [
                "fooled %; on the classifier that they were made on, too; of clips "
                "that both predict correctly"
            ],
        ),
        "The machine itself": _machine_table(every),
        "Without stages": listing(
            [each for each in every if each.name in ("surf_svm", *STAGES)],
            {"pipeline": name["classifier"]}
            | accuracy
            | num_right
            | {"transferred": lambda each: each.moved(NETWORKS)}
            | fooled("pgd"),
            ["fooled %"],
        ),
        "Inputs": listing(
            [r for found in by_input.values() for r in found if r.name in SURVEYED],
            {"input": lambda each: INPUTS[each.folder.parent.name]}
            | name
            | accuracy
            | fooled("fgsm", "bim_b", "pgd")
            | other_inputs,
            ["fooled %; transferred: from all other classifiers of the input"],
        ),
        "Certified": _certified_table(every),
        "Cost": listing(
            every,
            name | costs | accuracy | auc,
            ["single timings, which other programs disturb; ratios: surf_svm_speed"],
        ),
    }


def pgd_auc(each: Result, budgets: Sequence[float]) -> str | None:
    """The area under success, each clip fooled from its smallest budget on."""
    runs = [each.rows("pgd", budget) for budget in budgets]
    if None in runs:
        return None
    sizes = np.full(len(runs[0].success), np.inf)
    for budget, rows in reversed([*zip(budgets, runs, strict=True)]):
        sizes[rows.success] = budget
    counted = sizes[right(runs[0])]
    return f"{success_rate_auc(counted, budgets[-1]):.2f}" if len(counted) else None


def _median_l2(each: Result, *, attack: str) -> str | None:
    rows = each.rows(attack)
    sizes = rows.l2[right(rows) & rows.success]
    return f"{np.median(sizes):.3f}" if len(sizes) else None


def _number(value: float | None, form: str) -> str | None:
    return None if value is None else f"{value:{form}}"


def _machine_table(every: Sequence[Result]) -> Table:
    rows, header = [], []
    for each in every:
        if found := cached_rows.read(each.folder / "machine.tsv", Evaded):
            header = [f"{row.attack} {row.strength:g}" for row in found]
            shares = [found[0].accuracy, *(row.after for row in found)]
            rows.append([each.title, *map(each.percent, shares)])
    note = (
        "accuracy % on all test clips under attack; evasion: of the machine's inputs, "
        "by shares of the mean norm; flips: shares of the training labels"
    )
    return Table(["machine of", "accuracy %", *header], rows, [note])


def _certified_table(every: Sequence[Result]) -> Table:
    found = [
        certify_report.read_run(each.folder / "certified", each.title)
        for each in every
        if (each.folder / "certified" / "run.json").exists()
    ]
    return certified_accuracy_table(found, [0.0, 0.05, 0.1, 0.2, 0.3])


def _pgd_curves(
    every: Sequence[Result], budgets: Sequence[float]
) -> list[figures.AttackedCurve]:
    """Accuracy over the budget, without the pipelines that lack a stage."""
    curves, sizes = [], np.asarray([0.0, *budgets])
    for each in every:
        runs = [each.rows("pgd", budget) for budget in budgets]
        if each.name not in STAGES and None not in runs:
            left = [right(rows) & ~rows.success for rows in runs]
            accuracy = np.mean([right(runs[0]), *left], axis=1)
            curves.append(figures.AttackedCurve(each.title, sizes, accuracy))
    return curves
