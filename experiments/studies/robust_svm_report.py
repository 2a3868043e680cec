"""study.md and the figures of the study of the classical pipeline, from its cells."""

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np

from advjax.metrics.robustness import success_rate_auc
from advjax.metrics.shares import Share, share_of
from advjax.reports import tables
from advjax.runs.cells import ANY, Real
from advjax.runs.row_types import ATTACK_ROWS
from advjax.runs.rows import Schema
from experiments.lab import cached_rows, certification
from experiments.studies.robust_svm_cells import (
    Attacked,
    Evaded,
    Moved,
    Planned,
    read_attacked,
    run_folder,
)
from experiments.studies.robust_svm_figures import draw_pgd

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
_NONE = "–"


def write(
    out: pathlib.Path,
    planned: Mapping[str, Planned],
    grids: Sequence[tuple[str, str]],
    *,
    eps: float,
    transferred: Sequence[str],
) -> None:
    """Nothing; writes what is there of the study.

    Args:
        out: its folder.
        planned: the attacks by name.
        grids: corpora and inputs.
        eps: the linf norm of attacks within a budget.
        transferred: attacks whose examples are handed on.
    """
    lines = [
        "# The robust classical pipeline under attack",
        "",
        "Fooled: the share of clips that a classifier knows (n of them) on which an "
        "attack succeeds. FGSM, BIM, NES and PGD keep within a linf norm of "
        f"{eps:g} of images in [0, 1]; JSMA looks for few entries, C&W for a small l2 "
        "norm. "
        "Gradients go through the pipeline's counts and key points by backward pass "
        "approximation, so that its columns are an attacker who knows the defence.",
        "",
        f"Rates in %; {tables.INTERVAL_NOTE}. Clips of a pooled rate are attacked "
        "several times, and so its interval is too narrow.",
    ]
    for corpus in dict.fromkeys(corpus for corpus, _ in grids):
        where = out / "cells" / corpus
        main = where / "dwt"
        if not main.is_dir():
            continue
        lines += ["", f"## {CORPORA[corpus]}"]
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
                lines += ["", f"### {title}", "", tables.as_markdown(table)]
        curves = {
            TITLES[name]: cell
            for name, cell, _ in _cells(main)
            if not name.startswith("surf_svm_") or name == "surf_svm_hard"
        }
        figure = out / f"pgd_{corpus}.png"
        if draw_pgd(curves, planned["pgd"], figure, CORPORA[corpus]):
            lines += ["", f"![accuracy under PGD](pgd_{corpus}.png)"]
        if (out / f"stages_{corpus}.png").exists():
            lines += ["", f"![images behind each stage](stages_{corpus}.png)"]
    out.mkdir(parents=True, exist_ok=True)
    (out / "study.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _write_every_row(out)


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
    """Nothing; attacked.tsv has a line for every attack on every clip."""
    lines = []
    for file in sorted(out.glob("cells/*/*/*/*/rows.tsv")):
        if file.parent.name == "certified":
            continue
        cell = "/".join(file.parts[-5:-2])
        for row in ATTACK_ROWS.read(file.parent):
            values = [getattr(row, name) for name in AttackedRow._fields[2:]]
            lines.append(AttackedRow(cell, file.parent.name, *values))
    ATTACKED.write(out / "attacked.tsv", lines)


def _cells(folder: pathlib.Path) -> Iterator[tuple[str, pathlib.Path, dict]]:
    """Name, folder and facts of each cell that is there, in the order of `TITLES`."""
    for name in TITLES:
        file = folder / name / "cell.json"
        if file.exists():
            yield name, folder / name, json.loads(file.read_text(encoding="utf-8"))


def _percent(share: float, total: int) -> str:
    """A rate of `total` clips, from its quotient."""
    return tables.percent_text(Share(round(share * total), total))


def _accuracy(told: Mapping[str, Any]) -> str:
    return _percent(told["accuracy"], told["num_test"])


def _fooled(found: Attacked | None) -> str:
    if found is None:
        return _NONE
    return tables.percent_text(share_of(found.fooled[found.right]))


def _attacked_table(folder, planned, eps: float) -> tables.Table:
    rows = []
    for name, cell, told in _cells(folder):
        found = {
            attack: read_attacked(
                run_folder(cell, attack, eps if each.budgets else None)
            )
            for attack, each in planned.items()
        }
        if found["fgsm"] is None:
            continue
        rows.append(
            [
                TITLES[name],
                _accuracy(told),
                str(int(found["fgsm"].right.sum())),
                *(_fooled(found[attack]) for attack in planned),
                _auc(cell, planned["pgd"]),
            ]
        )
    titles = [each.title for each in planned.values()]
    most = planned["pgd"].budgets[-1]
    return tables.Table(
        ["classifier", "accuracy %", "n", *titles, "PGD AUC"],
        rows,
        [
            "fooled %, each classifier attacked by its own gradients or scores",
            f"PGD AUC: area under success over budgets up to {most:g}",
        ],
    )  # fmt: skip


def _auc(cell: pathlib.Path, pgd: Planned) -> str:
    """Of the smallest of PGD's budgets that fools each known clip."""
    found = {b: read_attacked(run_folder(cell, "pgd", b)) for b in pgd.budgets}
    if None in found.values():
        return _NONE
    sizes = np.full(len(found[pgd.budgets[0]].right), np.inf)
    for budget in reversed(pgd.budgets):
        sizes[found[budget].fooled] = budget
    known = sizes[found[pgd.budgets[0]].right]
    return f"{success_rate_auc(known, pgd.budgets[-1]):.2f}" if len(known) else _NONE


def _size_table(folder, planned) -> tables.Table:
    rows = []
    for name, cell, _ in _cells(folder):
        sizes = []
        for attack in ("jsma", "carlini_wagner"):
            found = read_attacked(run_folder(cell, attack, None))
            if found is None:
                break
            hit = found.size[found.right & found.fooled]
            sizes.append(f"{np.median(hit):.3f}" if len(hit) else _NONE)
        else:
            rows.append([TITLES[name], *sizes])
    titles = [f"{planned[a].title}, l2" for a in ("jsma", "carlini_wagner")]
    return tables.Table(
        ["classifier", *titles], rows, ["median over the successes on known clips"]
    )


def _moved(folder: pathlib.Path) -> dict[str, list[Moved]]:
    """By classifier, its answers to examples of clips that it and their source know."""
    answers = {}
    for name, cell, _ in _cells(folder):
        file = cell / "transfer.tsv"
        if file.exists():
            answers[name] = cached_rows.read(file, Moved)
    known = {
        name: {row.id for row in rows if row.clean == row.label}
        for name, rows in answers.items()
    }
    return {
        name: [
            row
            for row in rows
            if row.id in known[name] and row.id in known.get(row.source, ())
        ]
        for name, rows in answers.items()
    }


def _rate(rows: Sequence[Moved]) -> str:
    moved = sum(row.answer != row.label for row in rows)
    return tables.percent_text(Share(moved, len(rows)))


def _transferred_table(folder, planned, transferred) -> tables.Table:
    """Examples of the two networks on every classifier, by attack."""
    networks = ("alexnet", "googlenet")
    rows = [
        [
            TITLES[name],
            *(
                _rate(
                    [
                        row
                        for row in moved
                        if row.attack == attack
                        and row.source in networks
                        and row.source != name
                    ]
                )
                for attack in transferred
            ),
        ]
        for name, moved in _moved(folder).items()
    ]
    return tables.Table(
        ["classifier", *(planned[attack].title for attack in transferred)],
        rows,
        [
            "fooled % by examples made on AlexNet and GoogLeNet, successful there or "
            "not: what the publication measures; of clips that both classifiers know"
        ],
    )


def _matrix(folder) -> tables.Table:
    everything = _moved(folder)
    sources = [
        name
        for name in TITLES
        if any(row.source == name for rows in everything.values() for row in rows)
    ]
    rows = [
        [
            TITLES[name],
            *(_rate([row for row in moved if row.source == s]) for s in sources),
        ]
        for name, moved in everything.items()
    ]
    return tables.Table(
        ["asked \\ made on", *(TITLES[source] for source in sources)],
        rows,
        [
            "fooled %; on the classifier that they were made on, too; of clips that "
            "both know"
        ],
    )


def _machine_table(folder) -> tables.Table | None:
    rows, header = [], None
    for name, cell, told in _cells(folder):
        file = cell / "machine.tsv"
        if not file.exists():
            continue
        found = cached_rows.read(file, Evaded)
        header = [f"{row.attack} {row.strength:g}" for row in found]
        rows.append(
            [
                TITLES[name],
                _percent(found[0].accuracy, told["num_test"]),
                *(_percent(row.after, told["num_test"]) for row in found),
            ]
        )
    if header is None:
        return None
    return tables.Table(
        ["machine of", "accuracy %", *header],
        rows,
        [
            "accuracy % that is left on all test clips; evasion: of what the machine "
            "sees, by shares of the mean norm; flips: shares of the training labels"
        ],
    )


def _stage_table(folder, eps: float) -> tables.Table:
    moved = _moved(folder)
    rows = []
    for name, cell, told in _cells(folder):
        if not name.startswith("surf_svm") or name == "surf_svm_hard":
            continue
        own = read_attacked(run_folder(cell, "pgd", eps))
        others = [
            row for row in moved.get(name, []) if row.source in ("alexnet", "googlenet")
        ]
        count = _NONE if own is None else str(int(own.right.sum()))
        rows.append(
            [
                TITLES[name],
                _accuracy(told),
                count,
                _rate(others),
                _fooled(own),
            ]
        )
    return tables.Table(
        ["pipeline", "accuracy %", "n", "transferred", "PGD"], rows, ["fooled %"]
    )


def _input_table(folder, eps: float) -> tables.Table:
    rows = []
    for input, title in INPUTS.items():
        moved = _moved(folder / input)
        for name, cell, told in _cells(folder / input):
            if name not in ("alexnet", "googlenet", "plain_svm", "surf_svm"):
                continue
            own = [
                _fooled(read_attacked(run_folder(cell, attack, eps)))
                for attack in ("fgsm", "bim_b", "pgd")
            ]
            others = [row for row in moved.get(name, []) if row.source != name]
            rows.append([title, TITLES[name], _accuracy(told), *own, _rate(others)])
    return tables.Table(
        ["input", "classifier", "accuracy %", "FGSM", "BIM-b", "PGD", "transferred"],
        rows,
        ["fooled %; transferred: from all other classifiers of the input"],
    )


def _certified_table(folder) -> tables.Table | None:
    found = [
        certification.read_run(cell / "certified", TITLES[name])
        for name, cell, _ in _cells(folder)
        if (cell / "certified" / "run.json").exists()
    ]
    if not found:
        return None
    return tables.certified_accuracy_table(found, [0.0, 0.05, 0.1, 0.2, 0.3])


def _cost_table(folder, pgd: Planned) -> tables.Table:
    rows = [
        [
            TITLES[name],
            _NONE if told["fit_seconds"] is None else f"{told['fit_seconds']:.0f}",
            f"{told['ms_a_clip']:.2f}",
            f"{told['num_parameters']:,}",
            _accuracy(told),
            _auc(cell, pgd),
        ]
        for name, cell, told in _cells(folder)
    ]
    return tables.Table(
        ["classifier", "fit s", "ms a clip", "parameters", "accuracy %", "PGD AUC"],
        rows,
        ["single timings, which other programs disturb; ratios: surf_svm_speed"],
    )
