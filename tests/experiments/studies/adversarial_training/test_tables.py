import json

import numpy as np
import pytest

from advjax.metrics.clustered import ClusteredMean
from advjax.reports import page
from advjax.runs import folder as runs
from advjax.runs.row_types import ATTACK_ROWS, AttackRow
from experiments.lab import claims, held_out
from experiments.lab.grid import Found
from experiments.lab.steps import predictions_file
from experiments.studies.adversarial_training import (
    curve,
    further_tables,
    published,
    results,
    study,
    tables,
    texts,
)
from experiments.studies.adversarial_training.results import (
    Sizes,
    equal_success,
    roc_budget,
)

EPS = 0.1
SIZE = study.PRESETS["small"]._replace(eps=EPS)
CLIPS = tuple(f"clip{number}" for number in range(10))
RECORDINGS = tuple(f"r{number // 2}" for number in range(10))


def row(number, *, success, budget=np.inf, size=1.0):
    numbers = dict.fromkeys(AttackRow._fields, 0.0)
    counts = {"idx": number, "queries": 10, "l0": 5, "target": 2}
    counts["predict"] = 2 if success else 0
    texts = {"id": CLIPS[number], "success": success, "budget": budget, "l2": size}
    doubts = {"gt": 0.9, "gt_new": 0.1 if success else 0.8}
    doubts["new"] = 0.9 if success else 0.8
    return AttackRow(**{**numbers, **counts, **texts, **doubts})


def write_run(folder, rows, *, norm, budget):
    settings = {"norm": norm, "budget": budget}
    with runs.open_run(
        folder, settings=settings, environment={}, schema=ATTACK_ROWS
    ) as run:
        for each in rows:
            run.append(each)


def write_scan(folder, sizes):
    """FGSM at the budgets 0.05 and 0.2, or any other attack once."""
    if folder.name != "FGSM":
        rows = [row(i, success=s < np.inf, size=s) for i, s in enumerate(sizes)]
        write_run(folder / "smallest", rows, norm="l2", budget=None)
        return
    for budget in (0.05, 0.2):
        left = [i for i, size in enumerate(sizes) if size >= budget]
        rows = [row(i, success=sizes[i] <= budget, budget=budget) for i in left]
        write_run(folder / f"{budget}", rows, norm="linf", budget=str(budget))


def write_cell(out, cell, *, right=10, attacks=None):
    """A cell whose network has the first of ten clips right."""
    folder = out / "cells" / cell.path
    for name, sizes in (attacks or {}).items():
        write_scan(folder / name, sizes)
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        held_out.PredictionRow(id, recording, 0, 0 if place < right else 1)
        for place, (id, recording) in enumerate(zip(CLIPS, RECORDINGS, strict=True))
    ]
    output = {"num_entries": 100, "fit_seconds": 7.0, "num_classes": 10, "model": "net"}
    if cell["kind"] in ("grid", "resolution", "alpha"):
        held_out.PREDICTIONS.write(predictions_file(folder), rows)
    if cell["kind"] == "curve":
        held_out.PREDICTIONS.write(predictions_file(folder, "validation"), rows)
        output = {"validation_right": right, "validation_clips": 10}
    (folder / "cell.json").write_text(json.dumps(output))
    return cell


def network(kind="grid", training="plain", *, corpus="esc10", name="alexnet", fold=1):
    return study._cell(kind, corpus, "stft", f"{name}(width=2)", fold, training)


PLAIN = {"FGSM": [0.05] * 9 + [0.2], "C&W": [0.5] * 5 + [1.5] * 5}
OTHER = {"FGSM": [0.05] * 3 + [0.2] * 7, "C&W": [2.0] * 9 + [np.inf]}


@pytest.fixture
def pair(tmp_path):
    """A network whose twin needs more, and resists the second attack once."""
    cells = [
        write_cell(tmp_path, network(), right=9, attacks=PLAIN),
        write_cell(tmp_path, network(training="adversarial"), right=7, attacks=OTHER),
    ]
    return tmp_path, cells


def found(out, cells):
    return Found(out, SIZE, {cell: out / "cells" / cell.path for cell in cells})


def rows_of(out, cells):
    return results.rows_of(results.read_all(found(out, cells).cells))


def report(out, cells):
    return page.as_markdown([*tables.report(found(out, cells))])


def columns(table, line=0):
    return dict(zip(table.header, table.rows[line], strict=True))


def test_accuracy_is_pooled_over_folds_with_intervals_over_recordings(pair):
    out, cells = pair
    cells += [
        write_cell(out, network(fold=2), right=5, attacks=PLAIN),
        write_cell(out, network(training="adversarial", fold=2), right=5,
                   attacks=OTHER),
    ]  # fmt: skip
    line = columns(tables.accuracy_table(rows_of(out, cells)))
    assert (line["folds"], line["clips"]) == ("2", "20")
    assert line["plain"].startswith("70.0 [") and line["adversarial"][:4] == "60.0"
    assert line["drop"].startswith("+10.0 [")
    # Five recordings of two clips: twenty independent clips would be known better.
    low, high = map(float, line["plain"].split("[")[1].rstrip("]").split(","))
    assert high - low > 30


def test_rates_of_clips_that_all_agree_have_the_interval_of_their_recordings():
    every, none = (ClusteredMean(np.full(10, v), RECORDINGS) for v in (1.0, 0.0))
    assert texts.percent(every) == "100.0 [48, 100]"
    assert texts.percent(none) == "0.0 [0, 52]"
    assert texts.percent(ClusteredMean(np.zeros(0), ())) == "–"


def test_rates_are_those_at_the_budget_that_fools_nine_tenths_of_plain_clips(pair):
    (row,) = rows_of(*pair)
    assert equal_success(row.sizes("FGSM")[0].sizes) == (0.05, True)
    assert equal_success(row.sizes("C&W")[0].sizes) == (1.5, True)
    line = columns(tables.equal_table([row]))
    assert line["attacks"] == "2"
    assert line["plain"][:5] == "95.0 "  # 9 and 10 of 10 clips
    assert line["adversarial"][:5] == "15.0 "  # 3 and none
    assert line["plain - adv."][:6] == "+80.0 "
    # Within linf 0.1 nine and three clips, within l2 0.1 * sqrt(100) five and none.
    line = columns(tables.fixed_table([row], EPS))
    assert (line["plain"][:5], line["adversarial"][:5]) == ("70.0 ", "15.0 ")


def test_an_attack_that_never_gets_there_is_marked_and_left_out_of_the_rule(pair):
    out, cells = pair
    some = {**PLAIN, "FGSM": [0.05] * 4 + [0.2] * 4 + [np.inf] * 2}
    cells = [
        write_cell(out, network(name="vgg16"), attacks=some),
        write_cell(out, network(training="adversarial", name="vgg16"), attacks=OTHER),
    ]
    (row,) = rows_of(out, cells)
    assert equal_success(row.sizes("FGSM")[0].sizes) == (0.2, False)
    assert columns(tables.equal_table([row]))["attacks"] == "2*"
    assert results.ratio_of(row, "FGSM", "area under success") is None
    line = columns(tables.ratio_table([row]))
    assert line["attacks"] == "1/2"
    table = further_tables.attack_table([row], EPS)
    assert columns(table)["budget"] == "0.2*" and columns(table)["ratio"] == "–"
    # Sizes of which none is finite have no budget at all.
    assert np.isnan(equal_success(np.array([np.inf])).budget)


def test_ratios_by_both_readings(pair):
    (row,) = rows_of(*pair)
    line = columns(tables.ratio_table([row]))
    # FGSM: means of 0.155 over 0.065 (all clips within either budget). C&W: a clip
    # resists, so no budget of the twin has the area; its nine over a mean of 1.
    first = results.ratio_of(row, "FGSM", "area under success")
    assert first.whole and first.adversarial.value == pytest.approx(0.155)
    second = results.ratio_of(row, "C&W", "area under success")
    assert not second.whole and second.adversarial.value == 2.0
    expected = (0.155 / 0.065 + 2.0) / 2
    assert line["area under success"].startswith(f"{expected:.3f}* [")
    # Attacked clips are doubted by 0.9 and clean ones by 0.1: nine of ten tell.
    roc = results.ratio_of(row, "FGSM", "area under ROC")
    assert roc.plain.value == pytest.approx(0.05)


def test_the_second_reading_is_the_area_under_a_roc():
    clean = np.array([0.1, 0.2, 0.3, 0.4, 0.45])
    doubt = np.array([0.9, 0.8, 0.35, 0.7, 0.6])
    sizes = Sizes(np.arange(1.0, 6.0), tuple("abcde"), clean, doubt, "l2", 4, 1.0)

    def area(budget):
        attacked = np.where(sizes.sizes <= budget, doubt, clean)
        wins = np.sign(attacked[:, None] - clean[None, :])
        return (wins.mean() + 1) / 2

    for level in (0.6, 0.75, 0.9):
        budget = roc_budget(sizes, level)
        assert area(budget) >= level > area(budget - 1)
    assert roc_budget(sizes, 0.99) == np.inf


def test_entries_stand_beside_ours_on_the_same_corpus_alone(pair):
    out, cells = pair
    text = report(out, cells)
    assert "144 entries" in text and "0 have ours beside them" in text
    assert "ESC-10" in text and published.NAME not in text.split("## Recogn")[1]
    for training, attacks in (("plain", PLAIN), ("adversarial", OTHER)):
        cell = network(training=training, corpus="urbansound8k")
        cells.append(write_cell(out, cell, attacks=attacks))
    text = report(out, cells)
    assert "3 have ours beside them: UrbanSound8K, STFT, AlexNet." in text
    (row,) = [r for r in rows_of(out, cells) if r.corpus == "urbansound8k"]
    line = tables.accuracy_table([row]).rows[0]
    assert line[6] == "86.07" and line[9] == "21.43"
    assert columns(tables.equal_table([row]))[published.NAME] == "53.24"
    assert columns(tables.ratio_table([row]))[published.NAME] == "1.903"


def test_the_report_says_which_parts_were_not_run(pair):
    out, cells = pair
    text = report(out, cells)
    (line,) = [one for one in text.splitlines() if one.startswith("Not run")]
    assert "PIA" in line and "attacks without a target" in line
    assert "ESC-10 STFT ResNet-56" in line and "ESC-10 STFT AlexNet" not in line
    assert line.endswith("2 of 3 folds of ESC-10.")
    cells += [
        write_cell(out, network("pia", t), attacks={"PIA": [0.1] * 10})
        for t in ("plain", "adversarial")
    ]
    (line,) = [o for o in report(out, cells).splitlines() if o.startswith("Not run")]
    assert "PIA" not in line


def test_claims_have_a_verdict_by_named_criteria(pair):
    rows = rows_of(*pair)
    found = {each.text: each for each in tables.claimed(rows, EPS)}
    lowers = found["It lowers the fooling rate of attacks of limited strength."]
    # Five recordings decide nothing, however large the fall.
    assert lowers.verdict is claims.Verdict.UNDECIDED
    assert "plain minus adversarial" in lowers.criteria[0].name
    assert lowers.criteria[0].difference.value == pytest.approx(0.8)
    best = found["ResNet-56 on DWT||Tonnetz is the most accurate."]
    assert best.verdict is claims.Verdict.UNTESTED


def test_targets_sizes_and_weights_have_tables_of_their_own(pair):
    out, cells = pair
    cells += [
        write_cell(out, network("untargeted", training), attacks={"FGSM": sizes})
        for training, sizes in (("plain", [0.05] * 10), ("adversarial", [0.2] * 10))
    ]
    cells += [
        write_cell(out, network("pia", t), attacks={"PIA": [0.1] * 10})
        for t in ("plain", "adversarial")
    ]
    cells.append(write_cell(out, network("resolution"), right=10))
    cells.append(
        write_cell(out, network("alpha", "0.3"), right=6, attacks={"FGSM": [0.2] * 10})
    )
    every = results.read_all(found(out, cells).cells)
    (row,) = results.rows_of(every)
    assert row.attacks == ["FGSM", "PIA", "C&W"]
    table = further_tables.untargeted_table(every)
    assert [line[:2] for line in table.rows] == [
        ["FGSM", "reaches a class"], ["FGSM", "leaves its own"],
    ]  # fmt: skip
    assert [line[5].split(" ")[0] for line in table.rows] == ["30.0", "0.0"]
    line = further_tables.resolution_table(every).rows[0]
    assert line[4].startswith("90.0") and line[6].startswith("+10.0")
    assert line[7:] == ["7", "7"]
    lines = further_tables.alpha_table(every, [row]).rows
    assert [line[3] for line in lines] == ["1", "0.5", "0.3"]
    assert [line[6].split(" ")[0] for line in lines] == ["90.0", "30.0", "0.0"]
    text = report(out, cells)
    for title in ("With and without a target", "another input", "clean loss"):
        assert title in text


def write_curve(out, network, steps, share, right):
    cell = curve._cell("esc10", network, 1, steps, share)
    return write_cell(out, cell, right=right)


def test_the_fewest_steps_near_the_best_are_chosen(tmp_path):
    networks, lengths = ("alexnet(width=2)", "resnet18"), (300, 600, 900)

    def chosen():
        return curve.chosen(tmp_path, "esc10", networks, lengths)

    for steps, right in ((300, 6), (600, 8), (900, 8)):
        assert chosen() is None
        for name in networks:
            write_curve(tmp_path, name, steps, 1.0, right)
    assert chosen() == 600
    write_curve(tmp_path, networks[0], 900, 1.0, 10)
    assert chosen() == 900
    write_curve(tmp_path, networks[0], 300, 1.0, 10)
    write_curve(tmp_path, networks[1], 300, 1.0, 8)
    assert chosen() == 300


def test_the_curve_has_a_table_and_figures(tmp_path):
    size = SIZE._replace(networks=("alexnet(width=2)",))
    every = curve.cells(size, ["esc10"])
    assert [cell.path for cell in every] == [
        f"curve/esc10/alexnet/{n}" for n in ("300", "600", "900", "600-0.25", "600-0.5")
    ]
    cells = [write_cell(tmp_path, cell, right=8) for cell in every]
    text = page.as_markdown([*tables.report(Found(tmp_path, size, dict.fromkeys(cells)
        | {cell: tmp_path / "cells" / cell.path for cell in cells}))])  # fmt: skip
    assert "chosen" in text and "No network has both" in text
    for name in ("curve_steps.png", "curve_share.png"):
        assert (tmp_path / name).stat().st_size > 10_000
    lines = curve.table(tmp_path, size, {
        cell: tmp_path / "cells" / cell.path for cell in cells
    }).rows  # fmt: skip
    assert [line[1:3] for line in lines if line[-1] == "chosen"] == [["1", "300"]]
    assert lines[0][4] == "80"


def test_every_clip_has_a_line(pair):
    out, cells = pair
    report(out, cells)
    file = out / "needed.tsv"
    rows = tables.NEEDED.parse(file.read_bytes(), file)
    assert len(rows) == 2 * 2 * 10
    (place,) = np.flatnonzero(
        (np.asarray(rows.attack) == "C&W")
        & (np.asarray(rows.clip) == "clip9")
        & (np.asarray(rows.training) != "plain")
    )
    assert rows.needed[place] == np.inf and rows.recording[place] == "r4"
    assert rows.clean_doubt[place] == rows.doubt[place] == pytest.approx(0.1)


def test_every_network_has_a_line_for_each_test_clip(pair):
    out, cells = pair
    report(out, cells)
    file = out / "predictions.tsv"
    rows = tables.PREDICTED.parse(file.read_bytes(), file)
    assert rows.clip == CLIPS * 2 and rows.recording == RECORDINGS * 2
    right = (rows.label == rows.predict).reshape(2, 10).sum(axis=1)
    assert right.tolist() == [9, 7]
    assert set(rows.kind) == {"grid"} and rows.training[0] == "plain"


def test_the_figure_has_every_attack(pair):
    out, cells = pair
    assert "success.png" in report(out, cells)
    assert (out / "success.png").stat().st_size > 10_000
    # The adversarial twin of the next cell is still missing.
    cells.append(write_cell(out, network(name="vgg16"), attacks=PLAIN))
    assert "VGG" not in report(out, cells)


def test_there_are_144_published_entries():
    tables_of = (published.FOOLING_RATE, published.PERTURBATION_RATIO)
    counts = [len(line) for table in tables_of for line in table.values()]
    counts += [len(line) for line in published.ACCURACY_AND_BRACKET.values()]
    assert sum(counts) == published.NUM_ENTRIES == 144
    # The ranges that the report gives are those of the entries.
    drops = [e[1] for line in published.ACCURACY_AND_BRACKET.values() for e in line]
    assert (min(drops), max(drops)) == (6.89, 29.12)
    rates, ratios = (
        [entry for line in table.values() for entry in line] for table in tables_of
    )
    assert (min(rates), max(rates)) == (49.33, 76.38)
    assert (min(ratios), max(ratios)) == (1.231, 2.892)
    entry = published.entry("esc50", "dwt_tonnetz", "resnet56")
    assert entry == (71.79, 18.21, 70.42, 2.609)
    assert published.entry("esc10", "stft", "alexnet") is None
