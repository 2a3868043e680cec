import json
import types

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from experiments.lab import cached_rows
from experiments.studies.robust_svm import study, victims
from experiments.studies.robust_svm import tables as report
from experiments.studies.robust_svm.steps import Moved


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_choice_of_a_size_can_be_made(preset):
    with flagsaver.flagsaver(esc50_dir="ESC-50", urbansound8k_dir="UrbanSound8K"):
        size = study.sized(study.PRESETS[preset])
        for cell in study.cells(size):
            name, steps = cell["classifier"], study.work(cell, size)
            if name == "transfer":
                assert [*steps] == [*victims.victims(size, cell["input"])]
                continue
            assert name in report.TITLES
            task = study.task(cell, size)
            module = catalog.pick(task.model, MODELS, num_classes=10)
            assert module.num_classes == 10
            front_end = catalog.pick(task.features, FRONT_ENDS)
            assert front_end.name == task.at and front_end.bounds == (0.0, 1.0)
            for attack, each in victims.attacks_of(name, cell["input"], size).items():
                built = catalog.pick(each.text, ATTACKS, bounds=(0.0, 1.0))
                assert built.fixed_budget == bool(each.budgets)
                assert len(steps[attack].runs) == max(1, len(each.budgets))
    assert {victims.EPS} < {*victims.BUDGETS}
    assert {*victims.TRANSFERRED} < {*victims.planned(size)}


def test_every_stage_is_left_out_once():
    found = victims.victims(study.PRESETS["small"], "dwt")
    modules = {
        name: catalog.pick(text, MODELS, num_classes=3)
        for name, text in found.items()
        if name in (*victims.STAGES, "surf_svm")
    }
    whole = modules.pop("surf_svm")
    for name, module in modules.items():
        changed = {
            field
            for field in ("boost", "energy", "denoise")
            if getattr(module, field) != getattr(whole, field)
        }
        assert changed == set(victims.STAGES[name])


def rows(pairs):
    """Answers of one classifier: source, clip, label, clean answer, answer."""
    return [Moved(source, "fgsm", *answers) for source, *answers in pairs]


def test_the_matrix_counts_clips_that_both_classifiers_know(tmp_path):
    # AlexNet knows a and b, the pipeline a, b and c.
    for name, pairs in {
        "alexnet": [
            ("alexnet", "a", 0, 0, 1), ("alexnet", "b", 1, 1, 2),
            ("alexnet", "c", 2, 0, 0), ("surf_svm", "a", 0, 0, 0),
            ("surf_svm", "b", 1, 1, 1), ("surf_svm", "c", 2, 0, 0),
        ],
        "surf_svm": [
            ("alexnet", "a", 0, 0, 0), ("alexnet", "b", 1, 1, 2),
            ("alexnet", "c", 2, 2, 0), ("surf_svm", "a", 0, 0, 1),
            ("surf_svm", "b", 1, 1, 0), ("surf_svm", "c", 2, 2, 0),
        ],
    }.items():  # fmt: skip
        folder = tmp_path / "dwt" / name
        folder.mkdir(parents=True)
        counts = dict.fromkeys(("fit_seconds", "ms_a_clip", "num_parameters"), 1)
        results = {"accuracy": 0.5, "num_test": 20} | counts
        (folder / "cell.json").write_text(json.dumps(results))
        cached_rows.write(folder / "transfer.tsv", rows(pairs), "0" * 16)
    every = report.read(tmp_path / "dwt")
    planned = victims.planned(study.PRESETS["small"])
    found = report.corpus_tables({"dwt": every}, planned)
    matrix = found["Transfer, all attacks pooled"]
    assert matrix.header[1:] == ["AlexNet", "pipeline, soft"]
    # A clip that AlexNet misclassifies counts for nothing, on either side.
    assert matrix.rows == [
        ["AlexNet", "100 [16, 100]", "0 [0, 84]"],
        ["pipeline, soft", "50 [1, 99]", "100 [29, 100]"],
    ]
    transferred = found["Transferred"]
    assert transferred.header[1] == "FGSM"
    assert [row[1] for row in transferred.rows] == ["–", "50 [1, 99]"]


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
            label=label, clean=clean, target=-1, success=np.asarray(fooled[budget])
        )

    monkeypatch.setattr(report.Result, "rows", rows)
    result = report.Result("surf_svm", tmp_path, {}, None)
    # (1 - 0.1 / 0.1 + 1 - 0.01 / 0.1 + 0) / 3
    assert report.pgd_auc(result, (0.01, 0.1)) == "0.30"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --esc50_dir=FOLDER"),
        ({"cells": "esc50/dwt/vgg"}, "matches no cell; they are called like"),
        ({"share": "3"}, "write I/N"),
    ],
)
def test_wrong_choices_are_told_before_any_work(tmp_path, given, message):
    where = {"home": str(tmp_path), "out": str(tmp_path / "out")}
    corpus = {"esc50_dir": str(tmp_path)} if given else {}
    with (
        flagsaver.flagsaver(**(where | corpus | given)),
        pytest.raises(ValueError, match=message),
    ):
        study.main()
    assert not (tmp_path / "classifiers").exists()


@pytest.mark.slow
def test_a_few_cells_on_real_clips(advjax_data, tmp_path, capsys):
    given = {
        "esc50_dir": str(advjax_data / "ESC-50"),
        "home": str(tmp_path / "home"),
        "out": str(tmp_path / "out"),
        "cells": "esc50/dwt/[ps]*_svm, esc50/dwt/transfer",
        "pitch_shift": "none",
        "num_points": 2,
        "num_steps": 5,
        "certify": False,
    }
    with flagsaver.flagsaver(**given):
        study.main()
        told = capsys.readouterr()
        study.main()
        again = capsys.readouterr()
    assert again.out == told.out
    for title in ("Attacked by itself", "Transfer, all", "The machine itself", "Cost"):
        assert f"### {title}" in told.out
    assert (tmp_path / "out/pgd_esc50.png").exists()
