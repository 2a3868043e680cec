"""The tables of the study of the classical pipeline, from its cells."""

import pathlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from advjax.metrics.robustness import success_rate_auc
from advjax.metrics.shares import Share, share_of
from advjax.reports import tables
from advjax.runs.cells import ANY, Real
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import Schema
from experiments.lab import cached_rows, cell_files, certify_report
from experiments.lab.grid import Found
from experiments.studies.robust_svm.figures import draw_pgd
from experiments.studies.robust_svm.steps import (
    Attacked,
    Evaded,
    Moved,
    Planned,
    read_attacked,
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
NETWORKS = ("alexnet", "googlenet")
_NONE = "–"


def report(
    found: Found,
    planned: Mapping[str, Planned],
    *,
    eps: float,
    transferred: Sequence[str],
) -> Iterator[str]:
    """The parts of study.md; draws pgd_CORPUS.png and writes attacked.tsv.

    Args:
        found: the finished cells.
        planned: the attacks by name.
        eps: the linf norm of attacks within a budget.
        transferred: attacks whose examples are handed on.
    """
    yield (
        "# The robust classical pipeline under attack\n\n"
        "Fooled: the share of clips that a classifier knows (n of them) on which an "
        "attack succeeds. FGSM, BIM, NES and PGD keep within a linf norm of "
        f"{eps:g} of images in [0, 1]; JSMA looks for few entries, C&W for a small l2 "
        "norm. "
        "Gradients go through the pipeline's counts and key points by backward pass "
        "approximation, so that its columns are an attacker who knows the defence.\n\n"
        f"Rates in %; {tables.INTERVAL_NOTE}. Clips of a pooled rate are attacked "
        "several times, and so its interval is too narrow."
    )
    for corpus in dict.fromkeys(cell["corpus"] for cell in found.cells):
        where = found.out / "cells" / corpus
        main = where / "dwt"
        if not main.is_dir():
            continue
        yield f"## {CORPORA[corpus]}"
        parts = [
            ("Attacked by itself", _attacked_table(main, planned, eps)),
            ("What smallest perturbations need", _size_table(main, planned)),
            ("Transferred", _transferred_table(main, planned, transferred)),
            ("Transfer, all attacks pooled", _matrix(main)),
            ("The machine itself", _machine_table(main)),
            ("Without stages", _stage_table(main, eps)),
            ("Inputs", _input_table(where, eps)),
            ("Certified", _certified_table(main)),
            ("Cost", _cost_table(main, planned["pgd"])),
        ]
        for title, table in parts:
            if table is not None and table.rows:
                yield f"### {title}\n\n{tables.as_markdown(table)}"
        curves = {
            each.title: each.folder
            for each in _cells(main)
            if not each.name.startswith("surf_svm_") or each.name == "surf_svm_hard"
        }
        figure = found.out / f"pgd_{corpus}.png"
        if draw_pgd(curves, planned["pgd"], figure, CORPORA[corpus]):
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
    """Write attacked.tsv, a line for every attack on every clip."""
    lines = []
    for file in sorted(out.glob("cells/*/*/*/*/rows.tsv")):
        if file.parent.name == "certified":
            continue
        cell = "/".join(file.parts[-5:-2])
        for row in ATTACK_ROWS.read(file.parent):
            values = [getattr(row, name) for name in AttackedRow._fields[2:]]
            lines.append(AttackedRow(cell, file.parent.name, *values))
    ATTACKED.write(out / "attacked.tsv", lines)


class Known(NamedTuple):
    """A classifier of one corpus and input, with the results of its cell."""

    name: str
    folder: pathlib.Path
    results: Mapping[str, Any]

    @property
    def title(self) -> str:
        """Its name in tables."""
        return TITLES[self.name]

    @property
    def accuracy(self) -> str:
        """On all test clips, in %."""
        return self.percent(self.results["accuracy"])

    def percent(self, share: float) -> str:
        """A share of all test clips, in %."""
        total = self.results["num_test"]
        return tables.percent_text(Share(round(share * total), total))

    def under(self, attack: str, budget: float | None) -> Attacked | None:
        """The run of one attack at one budget; None while it lacks rows."""
        return read_attacked(self.folder / run_name(attack, budget))


def _cells(folder: pathlib.Path) -> list[Known]:
    """The classifiers of a folder, in the order of `TITLES`."""
    every = [Known(n, folder / n, cell_files.results(folder / n)) for n in TITLES]
    return [each for each in every if "accuracy" in each.results]


def _fooled(found: Attacked | None) -> str:
    if found is None:
        return _NONE
    return tables.percent_text(share_of(found.fooled[found.right]))


def _known(found: Attacked | None) -> str:
    return _NONE if found is None else str(int(found.right.sum()))


def _attacked_table(folder, planned, eps: float) -> tables.Table:
    rows = []
    for each in _cells(folder):
        found = [each.under(a, eps if p.budgets else None) for a, p in planned.items()]
        if found[0] is not None:
            numbers = [each.accuracy, _known(found[0]), *map(_fooled, found)]
            rows.append([each.title, *numbers, _auc(each.folder, planned["pgd"])])
    titles = [each.title for each in planned.values()]
    most = planned["pgd"].budgets[-1]
    notes = [
        "fooled %, each classifier attacked by its own gradients or scores",
        f"PGD AUC: area under success over budgets up to {most:g}",
    ]
    return tables.Table(
        ["classifier", "accuracy %", "n", *titles, "PGD AUC"], rows, notes
    )


def _auc(cell: pathlib.Path, pgd: Planned) -> str:
    """Of the smallest of PGD's budgets that fools each known clip."""
    found = {b: read_attacked(cell / run_name("pgd", b)) for b in pgd.budgets}
    if None in found.values():
        return _NONE
    sizes = np.full(len(found[pgd.budgets[0]].right), np.inf)
    for budget in reversed(pgd.budgets):
        sizes[found[budget].fooled] = budget
    known = sizes[found[pgd.budgets[0]].right]
    return f"{success_rate_auc(known, pgd.budgets[-1]):.2f}" if len(known) else _NONE


def _size_table(folder, planned) -> tables.Table:
    rows, smallest = [], ("jsma", "carlini_wagner")
    for each in _cells(folder):
        found = [each.under(attack, None) for attack in smallest]
        if None not in found:
            hits = [run.size[run.right & run.fooled] for run in found]
            sizes = [f"{np.median(hit):.3f}" if len(hit) else _NONE for hit in hits]
            rows.append([each.title, *sizes])
    titles = [f"{planned[attack].title}, l2" for attack in smallest]
    return tables.Table(
        ["classifier", *titles], rows, ["median over the successes on known clips"]
    )


def _moved(folder: pathlib.Path) -> dict[str, list[Moved]]:
    """By classifier, its answers to examples of clips that it and their source know."""
    files = {each.name: each.folder / "transfer.tsv" for each in _cells(folder)}
    answers = {n: cached_rows.read(f, Moved) for n, f in files.items() if f.exists()}
    known = {
        name: {row.id for row in rows if row.clean == row.label}
        for name, rows in answers.items()
    }
    return {
        name: [
            r for r in rows if r.id in known[name] and r.id in known.get(r.source, ())
        ]
        for name, rows in answers.items()
    }


def _rate(
    rows: Sequence[Moved], sources: Collection[str], attack: str | None = None
) -> str:
    """The share of rows of these sources, and of an attack, that leave the label."""
    mine = [r for r in rows if r.source in sources and attack in (None, r.attack)]
    return tables.percent_text(Share(sum(r.answer != r.label for r in mine), len(mine)))


def _transferred_table(folder, planned, transferred) -> tables.Table:
    """Examples of the two networks on every classifier, by attack."""
    rows = []
    for name, moved in _moved(folder).items():
        others = {*NETWORKS} - {name}
        rates = [_rate(moved, others, attack) for attack in transferred]
        rows.append([TITLES[name], *rates])
    note = (
        "fooled % by examples made on AlexNet and GoogLeNet, successful there or not: "
        "what the publication measures; of clips that both classifiers know"
    )
    titles = [planned[attack].title for attack in transferred]
    return tables.Table(["classifier", *titles], rows, [note])


def _matrix(folder) -> tables.Table:
    every = _moved(folder)
    made_on = {row.source for rows in every.values() for row in rows}
    sources = [name for name in TITLES if name in made_on]
    rows = [
        [TITLES[name], *(_rate(moved, [source]) for source in sources)]
        for name, moved in every.items()
    ]
    note = (
        "fooled %; on the classifier that they were made on, too; of clips that both "
        "know"
    )
    header = ["asked \\ made on", *(TITLES[source] for source in sources)]
    return tables.Table(header, rows, [note])


def _machine_table(folder) -> tables.Table | None:
    rows, header = [], []
    for each in _cells(folder):
        file = each.folder / "machine.tsv"
        if file.exists():
            found = cached_rows.read(file, Evaded)
            header = [f"{row.attack} {row.strength:g}" for row in found]
            shares = [found[0].accuracy, *(row.after for row in found)]
            rows.append([each.title, *map(each.percent, shares)])
    note = (
        "accuracy % that is left on all test clips; evasion: of the machine's inputs, "
        "by shares of the mean norm; flips: shares of the training labels"
    )
    return tables.Table(["machine of", "accuracy %", *header], rows, [note])


def _stage_table(folder, eps: float) -> tables.Table:
    rows, moved = [], _moved(folder)
    for each in _cells(folder):
        if each.name.startswith("surf_svm") and each.name != "surf_svm_hard":
            own = each.under("pgd", eps)
            others = _rate(moved.get(each.name, []), NETWORKS)
            rows.append([each.title, each.accuracy, _known(own), others, _fooled(own)])
    header = ["pipeline", "accuracy %", "n", "transferred", "PGD"]
    return tables.Table(header, rows, ["fooled %"])


def _input_table(folder, eps: float) -> tables.Table:
    rows, attacks = [], ("fgsm", "bim_b", "pgd")
    for input, title in INPUTS.items():
        moved = _moved(folder / input)
        for each in _cells(folder / input):
            if each.name in (*NETWORKS, "plain_svm", "surf_svm"):
                own = [_fooled(each.under(attack, eps)) for attack in attacks]
                others = _rate(moved.get(each.name, []), {*TITLES} - {each.name})
                rows.append([title, each.title, each.accuracy, *own, others])
    return tables.Table(
        ["input", "classifier", "accuracy %", "FGSM", "BIM-b", "PGD", "transferred"],
        rows,
        ["fooled %; transferred: from all other classifiers of the input"],
    )


def _certified_table(folder) -> tables.Table | None:
    found = [
        certify_report.read_run(each.folder / "certified", each.title)
        for each in _cells(folder)
        if (each.folder / "certified" / "run.json").exists()
    ]
    if not found:
        return None
    return tables.certified_accuracy_table(found, [0.0, 0.05, 0.1, 0.2, 0.3])


def _cost_table(folder, pgd: Planned) -> tables.Table:
    rows = []
    for each in _cells(folder):
        of = each.results
        fit = _NONE if of["fit_seconds"] is None else f"{of['fit_seconds']:.0f}"
        costs = [fit, f"{of['ms_a_clip']:.2f}", f"{of['num_parameters']:,}"]
        rows.append([each.title, *costs, each.accuracy, _auc(each.folder, pgd)])
    return tables.Table(
        ["classifier", "fit s", "ms a clip", "parameters", "accuracy %", "PGD AUC"],
        rows,
        ["single timings, which other programs disturb; ratios: surf_svm_speed"],
    )
