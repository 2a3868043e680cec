import json

import numpy as np
import pytest

from advjax.reports import page
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from experiments.lab import cell_files
from experiments.lab.budget_scan import Needed, read_scan
from experiments.lab.cells import Cell
from experiments.lab.grid import Found
from experiments.studies.adversarial_training import tables as study
from experiments.studies.adversarial_training.study import PRESETS

EPS = 0.1


def row(number, *, success, budget=np.inf, l2=1.0):
    numbers = dict.fromkeys(AttackRow._fields, 0.0)
    counts = {"idx": number, "queries": 10, "l0": 5, "target": -1}
    counts["predict"] = int(success)
    texts = {"id": f"clip{number}", "success": success, "budget": budget, "l2": l2}
    return AttackRow(**{**numbers, **counts, **texts})


def write_run(folder, rows, *, norm, budget):
    settings = {"norm": norm, "budget": budget}
    with runs.open_run(
        folder, settings=settings, environment={}, schema=ATTACK_ROWS
    ) as run:
        for each in rows:
            run.append(each)


def write_cell(out, name, *, accuracy, fgsm, l2):
    """A cell of two attacks: FGSM at two budgets, and a smallest perturbation."""
    folder = out / "cells" / name
    for budget in (0.05, 0.2):
        left = [i for i, size in enumerate(fgsm) if size >= budget]
        rows = [row(i, success=fgsm[i] <= budget, budget=budget) for i in left]
        write_run(folder / "FGSM" / f"{budget}", rows, norm="linf", budget=str(budget))
    rows = [row(i, success=size < np.inf, l2=size) for i, size in enumerate(l2)]
    write_run(folder / "C&W" / "smallest", rows, norm="l2", budget=None)
    output = {"accuracy": accuracy, "num_entries": 100, "num_test": 20}
    (folder / "cell.json").write_text(json.dumps(output))


@pytest.fixture
def out(tmp_path):
    """Two clips; the twin needs more of the one attack, and resists the other once."""
    name = "esc50/stft/alexnet/fold1"
    write_cell(tmp_path, f"{name}/plain", accuracy=0.9, fgsm=[0.05, 0.2], l2=[0.5, 1.5])
    write_cell(
        tmp_path, f"{name}/adversarial", accuracy=0.8, fgsm=[0.2, 0.2], l2=[2.0, np.inf]
    )
    return tmp_path


def found(out):
    files = sorted(out.glob("cells/*/*/*/*/*/cell.json"))
    names = ["/".join(file.parent.parts[-5:]) for file in files]
    folders = {name: out / "cells" / name for name in names}
    cells = {Cell(name): folder for name, folder in folders.items()}
    assert all(map(cell_files.has_accuracy, folders.values()))
    return Found(out, PRESETS["small"]._replace(eps=EPS), cells)


def results(out):
    return [study.read(cell, folder) for cell, folder in found(out).cells.items()]


def report(out):
    return page.as_markdown([*study.report(found(out))])


def test_a_clip_needs_the_first_budget_that_fools_it(out):
    found = read_scan(out / "cells/esc50/stft/alexnet/fold1/plain/FGSM")
    assert found.ids == ("clip0", "clip1")
    np.testing.assert_array_equal(found.sizes, [0.05, 0.2])
    # The second was asked at both budgets.
    np.testing.assert_array_equal(found.queries, [10, 20])
    with pytest.raises(FileNotFoundError, match="not been run"):
        read_scan(out / "nothing")


def test_the_three_tables(out):
    (pair,) = study.pairs(results(out))
    ((_, cell),) = study.accuracy_table([pair]).rows
    assert cell == "90.0 [68, 99], (10.0)"
    # Within linf 0.1 one clip of the plain network and none of the twin; within l2
    # 0.1 * sqrt(100) likewise.
    ((_, cell),) = study.fooling_table([pair], EPS).rows
    assert cell == "0.0, (plain 50.0)"
    # FGSM: 0.2 over the mean of 0.05 and 0.2. C&W: the one fooled over a mean of 1.
    assert study.ratio(pair, "FGSM") == pytest.approx(1.6)
    assert study.ratio(pair, "C&W") == pytest.approx(2.0)
    assert study.ratio_table([pair]).rows == [["ESC-50, STFT", "1.800"]]


def test_a_ratio_without_an_area_of_nine_tenths_is_starred(out):
    (pair,) = study.pairs(results(out))
    table = study.attack_table([pair], EPS)
    ratios = {line[2]: line[11] for line in table.rows}
    assert ratios == {"FGSM (linf)": "1.6", "C&W (l2)": "2*"}
    # Within the limit one of two clips of the plain network, and none of the twin's.
    assert table.rows[0][5:7] == ["50 [1, 99]", "0 [0, 84]"]


def test_an_attack_that_fools_nothing_has_no_ratio(out):
    (pair,) = study.pairs(results(out))
    pair.adversarial.attacks["C&W"] = Needed(
        ("a", "b"), np.array([np.inf, np.inf]), "l2", *np.zeros((3, 2))
    )
    assert np.isnan(study.ratio(pair, "C&W"))
    assert study.ratio_table([pair]).rows == [["ESC-50, STFT", "1.600"]]


def test_folds_are_averaged_and_a_missing_network_is_a_dash(out):
    for training, accuracy in (("plain", 0.7), ("adversarial", 0.7)):
        write_cell(
            out,
            f"esc50/stft/alexnet/fold2/{training}",
            accuracy=accuracy,
            fgsm=[0.2],
            l2=[1.0],
        )
        write_cell(
            out,
            f"esc50/dwt/vgg16/fold1/{training}",
            accuracy=0.5,
            fgsm=[0.2],
            l2=[1.0],
        )
    table = study.accuracy_table(study.pairs(results(out)))
    assert table.header == ["data", "AlexNet", "VGG-16"]
    rows = {line[0]: line[1:] for line in table.rows}
    # Of the 40 clips of both folds.
    assert rows["ESC-50, STFT"] == ["80.0 [64, 91], (5.0)", "–"]
    assert rows["ESC-50, DWT"] == ["–", "50.0 [27, 73], (0.0)"]


def test_the_report_has_tables_and_a_figure(out):
    text = report(out)
    assert "| ESC-50, STFT | 90.0 [68, 99], (10.0) |" in text
    assert "success.png" in text
    assert (out / "success.png").stat().st_size > 10_000
    # The adversarial twin of the next cell is still missing.
    write_cell(out, "esc50/stft/vgg16/fold1/plain", accuracy=0.5, fgsm=[0.2], l2=[1.0])
    assert "VGG" not in report(out)


def test_every_clip_has_a_line(out):
    report(out)
    header, *lines = (out / "needed.tsv").read_text().splitlines()
    assert header.split("\t")[5:] == ["attack", "clip", "norm", "needed", "queries"]
    assert len(lines) == 2 * 2 * 2
    cell = ["esc50", "stft", "alexnet", "1", "adversarial"]
    assert "\t".join([*cell, "C&W", "clip1", "l2", "inf", "10"]) in lines
