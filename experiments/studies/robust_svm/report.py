"""study.md of the study of the classical pipeline, and its figures of curves."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from advjax.reports import figures
from advjax.reports.page import Block, Heading
from experiments.lab import claims
from experiments.lab.grid import Found
from experiments.lab.study_tables import sections
from experiments.studies import image_corpora
from experiments.studies.robust_svm import answers, selection, tables
from experiments.studies.robust_svm.results import Result, Transferred, read
from experiments.studies.robust_svm.victims import (
    BUDGETS,
    EPS,
    INPUTS,
    SMOOTHED,
    STAGES,
    planned,
)

_CURVES = ("alexnet", "googlenet", "plain_svm", "surf_svm", "guarded_alexnet")
_Cells = Mapping[tuple[str, str, str], Mapping[int, pathlib.Path]]


def report(found: Found) -> Iterator[Block]:
    """The parts of study.md; draws its figures and writes attacked.tsv."""
    yield Heading("The robust classical pipeline under attack", 1)
    yield (
        "Fooled: the share of the clips that a classifier predicts correctly (n of "
        "them) on which an attack succeeds. FGSM, BIM, NES and PGD keep within a linf "
        f"norm of {EPS:g} of images in [0, 1], or that of the column; JSMA looks for "
        "few entries, C&W for a small l2 norm. Gradients go through the pipeline's "
        "counts and key points by backward pass approximation: the attacker knows the "
        "defence. Clips of all folds are pooled, each classified by a fit that saw "
        "neither its fold nor its recording.\n\n"
        f"Rates in %; {tables.INTERVALS}."
    )
    if absent := _absent():
        yield absent
    cells: dict[tuple[str, str, str], dict[int, pathlib.Path]] = {}
    validated: dict[str, None] = {}
    for cell, folder in found.cells.items():
        values = dict(cell.values)
        if "pair" in values:
            validated[values["corpus"]] = None
            continue
        key = (values["corpus"], values["input"], values["classifier"])
        cells.setdefault(key, {})[values["fold"]] = folder
    names = dict.fromkeys([*validated, *(corpus for corpus, _, _ in cells)])
    for corpus in names:
        yield Heading(image_corpora.TITLES[corpus])
        yield from _corpus(found, cells, corpus)
    tables.write_every_row(found.out)


def _absent() -> str:
    """A sentence on the part of ESC-50 that is not at hand; empty if it is whole."""
    if "esc50" not in image_corpora.folders():
        return ""
    most = image_corpora.NUM_CLASSES["esc50"]
    classes = image_corpora.num_classes_at_hand("esc50")
    if classes == most:
        return ""
    return (
        f"All of ESC-50 is a corpus of the study too, and is missing here: "
        f"--esc50_dir has clips of {classes} of its {most} classes."
    )


def _corpus(found: Found, cells: _Cells, corpus: str) -> Iterator[Block]:
    out = found.out
    by_input = {input: read(cells, corpus, input) for input in INPUTS}
    every, folds = by_input[INPUTS[0]], image_corpora.whole_folds(corpus)
    judged = {}
    if every:
        judged["Claims"] = claims.table(answers.claims(every))
    judged["Beside the publication's baselines"] = tables.published_table(
        by_input, corpus
    )
    chosen = {
        "Settings chosen": selection.chosen_table(out, corpus, folds),
        "Validation accuracy by option": selection.options_table(out, corpus, folds),
        "Rank behind the SVD": selection.ranks_table(out, corpus, folds),
    }
    yield from sections(judged | chosen, level=3)
    if not every:
        return
    yield from sections(tables.corpus_tables(by_input, planned(found.preset)), level=3)
    smoothed = {
        plain: [f / "certified" for f in cells.get(key, {}).values()]
        for name, plain in SMOOTHED.items()
        for key in [(corpus, INPUTS[0], name)]
    }
    yield from sections({"Certified": tables.certified_table(smoothed, every)}, level=3)
    for kind, words in {
        "transferred": "examples made on the networks",
        "adaptive": "PGD with restarts by each classifier's own gradients",
    }.items():
        if lines := _curves(every, kind):
            file = f"{kind}_{corpus}.png"
            figures.attacked_accuracy_plot(
                lines,
                out / file,
                x_label="linf norm of the perturbation of an image in [0, 1]",
                logarithmic=True,
                title=f"{image_corpora.TITLES[corpus]}: {words}",
            )
            yield f"![accuracy over the budget, {words}]({file})"
    for name, words in {
        "twins": "clips and their adversarial twins",
        "stages": "images behind each stage",
    }.items():
        if (out / f"{name}_{corpus}.png").exists():
            yield f"![{words}]({name}_{corpus}.png)"


def _curves(every: Sequence[Result], kind: str) -> list[figures.AttackedCurve]:
    """Accuracy over the budget of the classifiers that a figure has room for."""
    moved, lines = Transferred(every), []
    for each in every:
        if each.name not in _CURVES or each.name in STAGES:
            continue
        if shares := tables.curves(each, moved, BUDGETS)[kind]:
            accuracy = np.array([share.value for share in shares])
            sizes = np.asarray([0.0, *BUDGETS])
            lines.append(figures.AttackedCurve(each.title, sizes, accuracy))
    return lines
