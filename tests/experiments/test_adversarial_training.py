import inspect
import json
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from experiments.lab.budget_scan import needed
from experiments.studies import adversarial_training as study

FOLDERS = {"esc50": "ESC-50", "urbansound8k": "UrbanSound8K"}


@pytest.mark.parametrize("size", [study.CPU, study.PUBLICATION], ids=["cpu", "full"])
def test_every_choice_of_a_size_can_be_made(size):
    for text in size.networks.values():
        assert catalog.pick(text, MODELS, num_classes=10)
    for scan in study.scans(size.attacks).values():
        name, options = catalog.parse(scan.attack)
        assert set(options) <= set(inspect.signature(ATTACKS[name]).parameters)
        assert list(scan.budgets) == sorted(scan.budgets)
    for cell in study.cells(size, FOLDERS, [1]):
        task = task_of(cell, size)
        sides = 1568 / size.scale, 768 / size.scale
        shape = catalog.pick(task.features, FRONT_ENDS).feature_shape
        assert shape[0] == round(sides[0]) and shape[1] >= round(sides[1])


def task_of(cell, size, home="home"):
    return study.task_of(
        cell,
        size,
        home=pathlib.Path(home),
        corpus_dir=FOLDERS[cell.corpus],
        eps=0.03,
        pitch_shift="resample",
        seed=0,
    )


def test_the_publications_grid_has_every_cell_once():
    found = list(study.cells(study.PUBLICATION, FOLDERS, [1, 2]))
    assert len(found) == len({cell.path for cell in found}) == 2 * 2 * 4 * 6 * 2


def test_shares_are_disjoint_and_keep_a_networks_trainings_together():
    everything = list(study.cells(study.PUBLICATION, FOLDERS, [1]))
    shares = [study._shared(everything, f"{index}/3") for index in range(3)]
    assert sorted(sum(shares, [])) == sorted(everything)
    for share in shares:
        plain = [cell._replace(training="adversarial") for cell in share[::2]]
        assert plain == share[1::2]
    for text in ("3/3", "1", "a/b", "-1/3"):
        with pytest.raises(ValueError, match="write I/N"):
            study._shared(everything, text)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --esc50_dir"),
        ({"attacks": ["PGD"]}, "no PGD; there are: FGSM"),
        ({"representation": ["mel"]}, "no 'mel'; there are: stft"),
        ({"folds": ["one"]}, "'one' is no number"),
        ({"cells": "esc50/stft/none/*"}, "matches no cell"),
        ({"network": ["resnet9"]}, "resnet9"),
        ({"network": ["vgg16(width=4)", "vgg16(width=8)"]}, "an --out of its own"),
    ],
)
def test_wrong_choices_are_told_before_any_work(tmp_path, given, message):
    folder = {"esc50_dir": str(tmp_path)} if given else {}
    with (
        flagsaver.flagsaver(home=str(tmp_path), out=str(tmp_path), **folder, **given),
        pytest.raises(ValueError, match=message),
    ):
        study.main()
    assert not (tmp_path / "cells").exists()


@pytest.mark.slow
def test_a_cell_and_its_twin_on_real_clips(advjax_data, tmp_path, capsys):
    given = {
        "esc50_dir": str(advjax_data / "ESC-50"),
        "representation": ["stft"],
        "network": ["resnet56(width=2,resize=32)"],
        "attacks": ["FGSM", "DeepFool"],
        "pitch_shift": "none",
        "num_steps": 40,
        "num_points": 4,
        "home": str(tmp_path / "home"),
        "out": str(tmp_path / "out"),
    }
    with flagsaver.flagsaver(**given):
        study.main()
        told = capsys.readouterr()
        assert "| ESC-50, STFT |" in told.out
        # A second start finds everything done.
        study.main()
        again = capsys.readouterr()
    assert again.out == told.out
    assert "training resnet56" not in again.err
    folder = tmp_path / "out/cells/esc50/stft/resnet56/fold1/plain"
    cell = json.loads((folder / "cell.json").read_text())
    assert cell["num_test"] == 30 and cell["num_entries"] == 112 * 55
    if cell["num_attacked"]:
        assert np.isfinite(needed(folder / "DeepFool").sizes).any()


def test_a_start_that_finds_the_same_leaves_a_cell_s_file_alone(tmp_path):
    file = tmp_path / "cell.json"
    study._tell({"accuracy": 0.5, "seconds": 600.0, "environment": "a"}, file)
    study._tell({"accuracy": 0.5, "seconds": 3.0, "environment": "b"}, file)
    assert json.loads(file.read_text())["seconds"] == 600.0
    study._tell({"accuracy": 0.6, "seconds": 3.0, "environment": "b"}, file)
    assert json.loads(file.read_text())["seconds"] == 3.0
