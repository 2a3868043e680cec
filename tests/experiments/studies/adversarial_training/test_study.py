import csv
import inspect

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS
from experiments.lab import cell_files
from experiments.lab.budget_scan import read_scan
from experiments.lab.cells import choose
from experiments.studies.adversarial_training import study


@pytest.fixture
def corpora():
    folders = {"esc50_dir": "ESC-50", "urbansound8k_dir": "UrbanSound8K"}
    with flagsaver.flagsaver(**folders):
        yield


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_choice_of_a_size_can_be_made(preset, corpora):
    size = study.sized(study.PRESETS[preset])
    for text in size.networks:
        assert catalog.pick(text, MODELS, num_classes=10)
    for scan in study.scans(size.attacks).values():
        name, options = catalog.parse(scan.attack)
        assert set(options) <= set(inspect.signature(ATTACKS[name]).parameters)
        assert list(scan.budgets) == sorted(scan.budgets)
    front_ends = set()
    for cell in study.cells(size):
        front_ends.add(study.task(cell, size).features)
        assert [*study.work(cell, size)][1:] == [*study.scans(size.attacks)]
    sides = 1568 / size.scale, 768 / size.scale
    for text in front_ends:
        shape = catalog.pick(text, FRONT_ENDS).feature_shape
        assert shape[0] == round(sides[0]) and shape[1] >= round(sides[1])


def test_the_publications_grid_has_every_cell_once(corpora):
    with flagsaver.flagsaver(folds=["1", "2"]):
        found = study.cells(study.PRESETS["publication"])
    assert len(found) == len({cell.path for cell in found}) == 2 * 2 * 4 * 6 * 2
    assert found[0].path == "esc50/stft/googlenet/fold1/plain"


def test_shares_are_disjoint_and_keep_a_networks_trainings_together(corpora):
    every = study.cells(study.PRESETS["publication"])
    shares = [choose(every, "*", f"{i}/3", study.STUDY.together) for i in range(3)]
    assert sorted(c.path for c in sum(shares, [])) == sorted(c.path for c in every)
    for share in shares:
        plain = [c.path.replace("adversarial", "plain") for c in share[1::2]]
        assert [c.path for c in share[::2]] == plain


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
def test_wrong_choices_are_refused_before_any_work(tmp_path, given, message):
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
        output = capsys.readouterr()
        assert "| ESC-50, STFT |" in output.out
        # A second start finds everything done.
        study.main()
        again = capsys.readouterr()
    assert again.out == output.out
    assert "training resnet56" not in again.err
    folder = tmp_path / "out/cells/esc50/stft/resnet56/fold1/plain"
    cell = cell_files.results(folder)
    with (advjax_data / "ESC-50/meta/esc50.csv").open(newline="") as file:
        num_test = sum(row["fold"] == "1" for row in csv.DictReader(file))
    assert cell["num_test"] == num_test and cell["num_entries"] == 112 * 55
    if cell["accuracy"]:
        assert np.isfinite(read_scan(folder / "DeepFool").sizes).any()
