import fnmatch
import json
import types

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS, definition
from experiments.lab import cached_rows, claims, rehearsal_lowerings
from experiments.lab.cells import choose
from experiments.lab.held_out import PREDICTIONS, PredictionRow
from experiments.lab.rehearsal_programs import PROGRAMS
from experiments.studies.robust_svm import (
    answers,
    costs,
    results,
    selection,
    study,
    victims,
)
from experiments.studies.robust_svm import tables as report
from experiments.studies.robust_svm.machine import Evaded
from experiments.studies.robust_svm.steps import Moved


@pytest.fixture
def at_hand(tmp_path):
    """Flags of two corpora of tables without audio: ESC-10 and UrbanSound8K."""
    esc50, urban = tmp_path / "ESC-50", tmp_path / "UrbanSound8K"
    (esc50 / "meta").mkdir(parents=True)
    lines = [
        f"{fold}-{fold}{target}{take}-A-{target}.wav,{fold},{target},c{target},True,"
        f"{fold}{target}{take},A"
        for fold in range(1, 6)
        for target in range(10)
        for take in range(5)
    ]
    head = "filename,fold,target,category,esc10,src_file,take"
    (esc50 / "meta/esc50.csv").write_text("\n".join([head, *lines]) + "\n")
    (urban / "metadata").mkdir(parents=True)
    counts = {1: 5, 2: 5, 3: 1, 10: 5}
    lines = [
        f"{fold}{target}{take}-{target}-0-0.wav,{fold}{target}{take},0,4,1,{fold},"
        f"{target},c{target}"
        for fold, count in counts.items()
        for target in range(10)
        for take in range(count)
    ]
    head = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    (urban / "metadata/UrbanSound8K.csv").write_text("\n".join([head, *lines]) + "\n")
    with flagsaver.flagsaver(esc50_dir=str(esc50), urbansound8k_dir=str(urban)):
        yield tmp_path


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_choice_of_a_size_can_be_made(preset, at_hand):
    size = study.sized(study.PRESETS[preset])
    cells = study.cells(size)
    assert len({cell.path for cell in cells}) == len(cells)
    for cell in cells:
        steps, task = study.work(cell, size), study.task(cell, size)
        if study.is_selection(cell):
            assert len(steps) == 1 + len(size.candidates.fronts)
            continue
        name = cell["classifier"]
        if name in victims.TRANSFERS:
            assert {*steps} <= {*victims.victims(size, cell["input"])}
            continue
        assert name in victims.SMOOTHED or name in results.TITLES
        module = catalog.pick(task.model, MODELS, num_classes=10)
        assert module.num_classes == 10
        front_end = catalog.pick(task.features, FRONT_ENDS)
        assert front_end.name == task.at and front_end.bounds == (0.0, 1.0)
        for attack, each in victims.attacks_of(name, cell["input"], size).items():
            built = catalog.pick(each.text, ATTACKS, bounds=(0.0, 1.0))
            assert built.fixed_budget == bool(each.budgets)
            step = getattr(steps[attack], "step", steps[attack])
            assert len(step.runs) == max(1, len(each.budgets))
    assert all(
        any(fnmatch.fnmatchcase(cell.path, kind) for kind in costs.COSTS["publication"])
        for cell in cells
    )
    assert {victims.EPS} < {*victims.BUDGETS}
    assert {*victims.TRANSFERRED} < {*victims.planned(size)}


def test_the_cells_are_in_the_order_of_their_worth(at_hand):
    size = study.sized(study.PRESETS["small"])
    paths = [cell.path for cell in study.cells(size)]
    kinds = [path.split("/")[-1] for path in paths if "/dwt/" in path]
    assert list(dict.fromkeys(kinds)) == [*victims.ORDER]
    assert paths[:2] == ["selection/esc10/1-2", "selection/esc10/2-3"]
    every = {*victims.victims(size, "dwt")} - {*victims.SMOOTHED}
    asked = [name for names in victims.TRANSFERS.values() for name in names]
    # Whoever is asked about examples has a cell before.
    assert {*asked} == every and len(asked) == len(every)
    for cell, names in victims.TRANSFERS.items():
        before = victims.ORDER[: victims.ORDER.index(cell)]
        assert {*names} <= {*before}
    folds = {p.split("/")[1] for p in paths if p.startswith("urbansound8k")}
    assert folds == {"fold1", "fold2", "fold10"}  # the third has a clip of each class
    starts = [
        choose(study.cells(size), "*", f"{i}/2", study.STUDY.together) for i in (0, 1)
    ]
    assert [{cell["corpus"] for cell in of} for of in starts] == [
        {"esc10"},
        {"urbansound8k"},
    ]


def test_folds_that_are_not_at_hand_are_refused(at_hand):
    size = study.sized(study.PRESETS["small"])
    with (
        flagsaver.flagsaver(folds=["3"], esc50_dir=None),
        pytest.raises(ValueError, match="UrbanSound8K has no fold 3 with 5 clips"),
    ):
        study.cells(size)


def test_every_stage_is_left_out_once():
    found = victims.victims(study.PRESETS["small"], "dwt")
    whole = {"boost": 1.5, "energy": 0.99, "denoise": True}
    for name in victims.STAGES:
        task = types.SimpleNamespace(model=found[name].model)
        options = changed(task, found[name])
        left_out = {key for key in whole if options.get(key, whole[key]) != whole[key]}
        assert left_out == set(victims.STAGES[name])


def changed(task, victim):
    """The options of a classifier's model with a chosen setting of energy 0.99."""
    setting = "energy=0.99,centred=True,zones=8,num_words=64,encoder='hard',cost=0.1"
    choice = selection.Choice(
        "esc10", 1, (1, 2, 3), victim.encoders, changes=victim.changes
    )
    return catalog.parse(choice.model(task.model, setting))[1]


def predictions(folder, answers):
    """Write the predictions of a cell: clip, label, prediction; each is a recording."""
    folder.mkdir(parents=True)
    rows = [PredictionRow(id, f"of-{id}", *each) for id, *each in answers]
    PREDICTIONS.write(folder / "predictions_test.tsv", rows)


def moved(pairs):
    """Answers of one classifier: source, clip, label, clean answer, answer."""
    return [Moved(source, "fgsm-0.03", *answers) for source, *answers in pairs]


@pytest.fixture
def two(tmp_path):
    """AlexNet knows a and b, the pipeline a, b and c."""
    for name, clean, pairs in [
        ("alexnet", [("a", 0, 0), ("b", 1, 1), ("c", 2, 0)], [
            ("alexnet", "a", 0, 0, 1), ("alexnet", "b", 1, 1, 2),
            ("alexnet", "c", 2, 0, 0), ("surf_svm", "a", 0, 0, 0),
            ("surf_svm", "b", 1, 1, 1), ("surf_svm", "c", 2, 0, 0),
        ]),
        ("surf_svm", [("a", 0, 0), ("b", 1, 1), ("c", 2, 2)], [
            ("alexnet", "a", 0, 0, 0), ("alexnet", "b", 1, 1, 2),
            ("alexnet", "c", 2, 2, 0), ("surf_svm", "a", 0, 0, 1),
            ("surf_svm", "b", 1, 1, 0), ("surf_svm", "c", 2, 2, 0),
        ]),
    ]:  # fmt: skip
        folder = tmp_path / name
        predictions(folder, clean)
        cached_rows.write(folder / "transfer.tsv", moved(pairs), "0" * 16)
    return [results.Result(n, {1: tmp_path / n}) for n in ("alexnet", "surf_svm")]


def values(row):
    return [text.split(" [")[0] for text in row]


def test_the_matrix_counts_clips_that_both_classifiers_know(two):
    attacks = victims.planned(study.PRESETS["small"])
    by_input = {"dwt": two, "stft": [], "crp": []}
    found = report.corpus_tables(by_input, attacks)
    matrix = found["Transfer, all attacks pooled"]
    assert matrix.header[1:] == ["AlexNet", "pipeline"]
    # A clip that AlexNet misclassifies counts for nothing, on either side.
    assert [values(row) for row in matrix.rows] == [
        ["AlexNet", "100", "0"],
        ["pipeline", "50", "100"],
    ]
    transferred = found["Transferred"]
    assert transferred.header[1] == "FGSM"
    assert [values(row)[1] for row in transferred.rows] == ["–", "50"]


def test_accuracy_under_the_worst_transferred_example_within_a_budget(two):
    found = results.Transferred(two)
    shares = found.under_attack(two[1], ("alexnet",), ("fgsm",), (0.01, 0.03))
    # Of three clips it has all right; the examples at 0.03 change b and c.
    assert [round(share.value, 3) for share in shares] == [1, 1, 0.333]
    # AlexNet's own examples do not count as transferred to it.
    assert found.under_attack(two[0], ("alexnet",), ("fgsm",), (0.03,)) is None


def test_a_margin_decides_about_accuracy(tmp_path):
    clips = [(f"{number}", 0) for number in range(40)]
    for name, wrong in {"alexnet": 0, "googlenet": 20, "surf_svm": 1}.items():
        answers_of = [(id, y, int(int(id) < wrong)) for id, y in clips]
        predictions(tmp_path / name, answers_of)
    every = [
        results.Result(name, {1: tmp_path / name})
        for name in ("alexnet", "googlenet", "surf_svm")
    ]
    accurate = answers.claims(every)[0]
    alexnet, googlenet = accurate.criteria
    # 1 of 40 clips fewer is within 5 points, but the interval reaches beyond.
    assert alexnet.difference.value == pytest.approx(0.05 - 1 / 40)
    assert alexnet.verdict == claims.Verdict.UNDECIDED
    assert googlenet.verdict == claims.Verdict.HOLDS
    assert answers.claims(every)[4].verdict == claims.Verdict.UNTESTED
    # One network alone decides nothing about both.
    assert answers.claims(every[::2])[0].verdict == claims.Verdict.UNTESTED


def test_the_area_under_success_takes_the_smallest_budget_of_each(
    tmp_path, monkeypatch
):
    fooled = {
        0.01: [False, True, False, True],
        0.1: [True, False, False, True],
    }

    def rows(result, attack, budget):
        label, clean = np.zeros(4, int), np.asarray([0, 0, 0, 1])
        return types.SimpleNamespace(
            label=label, clean=clean, target=-1, success=np.asarray(fooled[budget]),
            id=tuple("abcd"),
        )  # fmt: skip

    monkeypatch.setattr(results.Result, "rows", rows)
    predictions(tmp_path / "one", [(id, 0, 0) for id in "abcd"])
    result = results.Result("surf_svm", {1: tmp_path / "one"})
    # (1 - 0.1 / 0.1 + 1 - 0.01 / 0.1 + 0) / 3
    assert report.pgd_auc(result, (0.01, 0.1)) == "0.30"
    # Of four attacked clips three are right; what a smaller budget fools stays fooled.
    left = result.under_attack("pgd", (0.01, 0.1))
    assert [share.value for share in left] == [0.75, 0.5, 0.25]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"esc50_dir": None, "urbansound8k_dir": None}, "give --esc50_dir=FOLDER"),
        ({"cells": "esc10/fold1/dwt/vgg"}, "matches no cell; they are called like"),
        ({"share": "3"}, "write I/N"),
    ],
)
def test_wrong_choices_are_told_before_any_work(at_hand, given, message):
    where = {"home": str(at_hand), "out": str(at_hand / "out")}
    with (
        flagsaver.flagsaver(**(where | given)),
        pytest.raises(ValueError, match=message),
    ):
        study.main()
    assert not (at_hand / "classifiers").exists()


def test_a_classifier_waits_for_its_setting(at_hand):
    given = {
        "home": str(at_hand / "home"), "out": str(at_hand / "out"),
        "cells": "esc10/fold1/dwt/surf_svm",
    }  # fmt: skip
    with (
        flagsaver.flagsaver(**given),
        pytest.raises(ValueError, match="run the cells selection/esc10/\\* first"),
    ):
        study.main()


@pytest.mark.slow
def test_a_few_cells_on_real_clips(advjax_data, tmp_path, capsys, monkeypatch):
    few = selection.Candidates(
        fronts=((0.95, False),), zones=(4,), words=(16,), costs=(1.0,)
    )
    small = study.PRESETS["small"]._replace(candidates=few)
    monkeypatch.setitem(study.PRESETS, "small", small)
    given = {
        "esc50_dir": str(advjax_data / "ESC-50"),
        "home": str(tmp_path / "home"),
        "out": str(tmp_path / "out"),
        "pitch_shift": "none",
        "num_points": 10,
        "num_steps": 5,
        "certify": False,
        "folds": ["1"],
        "cells": "selection/esc10/*1*, esc10/fold1/dwt/[ps]*_svm, *fold1/dwt/transfer",
    }
    with flagsaver.flagsaver(**given):
        study.main()
        told = capsys.readouterr()
        study.main()
        again = capsys.readouterr()
    assert again.out == told.out
    for title in ("Attacked by itself", "Transfer, all", "The machine itself", "Cost"):
        assert f"### {title}" in told.out
    assert (tmp_path / "out/adaptive_esc10.png").exists()
    control = read_machine(tmp_path / "out/cells/esc10/fold1/dwt/surf_svm")
    cell = json.loads(
        (tmp_path / "out/cells/esc10/fold1/dwt/surf_svm/cell.json").read_text()
    )
    right = cell["steps"]["predict"]["result"]["test_right"]
    assert control["evasion", True] == right == control["refitted", True]
    assert control["refitted", False] == right


def read_machine(folder):
    """Clips that are right without attack (True) and after it, by attack."""
    rows = cached_rows.read(folder / "machine.tsv", Evaded)
    found = {}
    for attack in ("evasion", "refitted"):
        first = [row for row in rows if row.attack == attack]
        first = [row for row in first if row.strength == first[0].strength]
        found[attack, True] = sum(row.clean for row in first)
        found[attack, False] = sum(row.after for row in first)
    return found


def test_the_rehearsal_compiles_the_first_step_of_the_publication(at_hand):
    size = study.sized(study.PRESETS["publication"])
    cell = study.cells(size)[0]
    task = study.task(cell, size)
    images = catalog.pick(rehearsal_lowerings.PIPELINE_IMAGES, FRONT_ENDS)
    assert definition(images) == definition(catalog.pick(task.features, FRONT_ENDS))
    _, rehearsed = catalog.parse(rehearsal_lowerings.PIPELINE)
    assert {key: rehearsed[key] for key in size.pipeline} == size.pipeline
    assert rehearsed["num_words"] == max(size.candidates.words)
    module = catalog.pick(rehearsal_lowerings.PIPELINE, MODELS, num_classes=10)
    assert module.zones in size.candidates.zones
    program = PROGRAMS[f"study-{study.STUDY.name}"]
    assert program.size() == task.recipe.batch_size


def test_the_bounds_are_of_the_publications_sizes():
    size = study.PRESETS["publication"]
    assert size.recipe.num_steps == costs.NUM_STEPS
    assert len(size.candidates.fronts) == costs.NUM_FRONTS
    assert size.num_points == 5 * costs.NUM_CLIPS
    restarts, budgets = size.num_restarts, len(victims.BUDGETS)
    assert 1 + 10 + budgets * restarts * 40 == costs.OF_OTHER
    assert restarts * 40 == costs.OF_STAGE
