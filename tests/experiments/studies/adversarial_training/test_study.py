import csv
import dataclasses
import fnmatch
import inspect
import itertools
import json
import pathlib

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax import catalog
from advjax.attacks import ATTACKS
from advjax.models import MODELS
from advjax.representations import FRONT_ENDS, definition
from experiments.lab import cell_files
from experiments.lab.budget_scan import read_scan
from experiments.lab.cells import choose
from experiments.lab.grid import Job, Step
from experiments.lab.rehearsal_lowerings import FIRST_STEPS
from experiments.lab.rehearsal_programs import PROGRAMS
from experiments.lab.steps import Predict
from experiments.studies import image_corpora
from experiments.studies.adversarial_training import costs, curve, study
from experiments.studies.adversarial_training.costs import COSTS


@pytest.fixture
def corpora():
    folders = {"esc50_dir": "ESC-50", "urbansound8k_dir": "UrbanSound8K"}
    with flagsaver.flagsaver(**folders):
        yield


@pytest.mark.parametrize("preset", study.PRESETS)
def test_every_choice_of_a_size_can_be_made(preset, corpora):
    size = study.sized(study.PRESETS[preset])
    for text in (*size.networks, size.other_resolution or size.networks[0]):
        assert catalog.pick(text, MODELS, num_classes=10)
    for targeted in (True, False):
        for scan in study.scans(size.attacks, targeted=targeted).values():
            name, options = catalog.parse(scan.attack)
            assert set(options) <= set(inspect.signature(ATTACKS[name]).parameters)
            assert list(scan.budgets) == sorted(scan.budgets)
            assert all(budget < 1 for budget in scan.budgets)  # the range of images
    front_ends = set()
    for cell in study.cells(size):
        front_ends.add(study.task(cell, size).features)
        assert study.work(cell, size)
    sides = 1568 / size.scale, 768 / size.scale
    for text in front_ends:
        shape = catalog.pick(text, FRONT_ENDS).feature_shape
        assert shape[0] == round(sides[0]) and shape[1] >= round(sides[1])


@pytest.mark.parametrize("preset", ["small", "medium"])
def test_jsma_may_change_as_many_entries_as_its_share(preset, corpora):
    size = study.sized(study.PRESETS[preset])
    options = catalog.parse(study.scans(size.attacks)["JSMA"].attack)[1]
    for text in {study.task(cell, size).features for cell in study.cells(size)}:
        entries = np.prod(catalog.pick(text, FRONT_ENDS).feature_shape)
        assert options["max_steps"] >= int(options["gamma"] * entries)


def test_attacks_have_a_target_as_the_publication_says():
    found = study.scans(study.PRESETS["small"].attacks)
    goals = {n: catalog.parse(s.attack)[1].get("targeted") for n, s in found.items()}
    assert goals == {
        name: None if name == "DeepFool" else True
        for name in ("FGSM", "BIM", "JSMA", "DeepFool", "PIA", "C&W")
    }
    free = study.scans(study.PRESETS["small"].attacks, targeted=False)
    assert list(free) == ["FGSM", "BIM", "JSMA", "C&W"]
    assert not any("targeted" in scan.attack for scan in free.values())


def kinds(found):
    """Kinds of cells in their order, and the number of each run of them."""
    groups = itertools.groupby(found, key=lambda cell: cell["kind"])
    return [(kind, len(list(cells))) for kind, cells in groups]


def test_cells_of_the_greatest_worth_come_first(corpora):
    found = study.cells(study.sized(study.PRESETS["small"]))
    assert len({cell.path for cell in found}) == len(found)
    # A row is a network on a representation: 6 on each corpus, in both trainings.
    assert kinds(found) == [
        ("curve", 2 * 3 * 5),
        ("grid", 3 * 12 + 8),
        *(("resolution", 6), ("alpha", 6), ("grid", 4)),
        ("untargeted", 12),
        ("pia", 3 * 12 + 12),
    ]
    names = [cell.path for cell in found]
    assert names[30:32] == [
        f"esc10/stft/alexnet/fold1/{training}" for training in ("plain", "adversarial")
    ]
    late = [n for n in names if n.startswith("urbansound8k") and "resnet56" in n]
    assert late == names[86:90] and "resnet56" in names[-1]
    with flagsaver.flagsaver(attacks=["FGSM", "DeepFool"]):
        found = study.cells(study.sized(study.PRESETS["small"]))
    assert "pia" not in dict(kinds(found)) and "untargeted" in dict(kinds(found))


def test_the_publications_grid_has_every_cell_once(corpora):
    with flagsaver.flagsaver(folds=["1", "2"]):
        found = study.cells(study.sized(study.PRESETS["publication"]))
    grid = [cell for cell in found if cell["kind"] == "grid"]
    assert len(grid) == len({cell.path for cell in grid}) == 2 * 2 * 4 * 6 * 2
    assert found[0].path == "esc50/stft/googlenet/fold1/plain"


def test_the_rehearsal_compiles_the_first_step_of_the_publications_grid(corpora):
    size = study.sized(study.PRESETS["publication"])
    cell = study.cells(size)[0]
    task = study.task(cell, size)
    model, trained, defence = FIRST_STEPS[study.STUDY.name]
    assert (model, defence) == (task.model, task.defence)
    rehearsed = catalog.pick(trained.features, FRONT_ENDS)
    assert definition(rehearsed) == definition(catalog.pick(task.features, FRONT_ENDS))
    assert trained.batch == task.recipe.batch_size
    assert trained.num_classes == image_corpora.NUM_CLASSES[cell["corpus"]]
    assert f"study-{study.STUDY.name}" in PROGRAMS


@pytest.mark.parametrize("preset", COSTS)
def test_every_cell_has_a_cost(preset, corpora):
    size = study.sized(study.PRESETS[preset])
    for cell in study.cells(size):
        found = [p for p in COSTS[preset] if fnmatch.fnmatchcase(cell.path, p)]
        assert found, cell.path
        name = catalog.parse(cell["network"])[0]
        kind = cell["kind"]
        assert kind == "grid" or found[0].startswith(kind), cell.path
        assert preset != "publication" or name in found[0]


def test_the_publications_cost_is_that_of_its_passes():
    size = study.PRESETS["publication"]
    early, pia = 0, study.scans(size.attacks)["PIA"]
    for scan in study.scans(size.attacks).values():
        name, options = catalog.parse(scan.attack)
        defaults = inspect.signature(ATTACKS[name]).parameters
        given = {n: p.default for n, p in defaults.items()} | options
        steps = given.get("num_steps") or given.get("max_steps") or 1
        candidates = given["num_candidates"] if name == "deepfool" else 1
        times = given.get("num_searches", candidates)
        early += len(scan.budgets or (None,)) * steps * times * (scan != pia)
    assert early == costs.EARLY_PASSES
    queries = catalog.parse(pia.attack)[1]["max_queries"]
    assert len(pia.budgets) * queries / 3 == costs.PIA_PASSES
    assert (size.recipe.num_steps, size.recipe.batch_size) == (
        costs.NUM_STEPS, costs.BATCH
    )  # fmt: skip
    assert set(size.num_points.values()) == {costs.NUM_CLIPS}
    rehearsed = pathlib.Path(__file__).parents[4] / "experiments/results/rehearsal"
    for network, (steps_s, gib) in costs.IMAGE_NETWORKS.items():
        file = rehearsed / "h100" / f"train-{network}-plain-float32.json"
        row = json.loads(file.read_text())
        assert steps_s == pytest.approx(row["per_s"], rel=0.01)
        assert gib == pytest.approx(row["memory_bytes"] / 2**30, abs=0.01)


def test_a_corpus_without_a_folder_is_left_out():
    with flagsaver.flagsaver(urbansound8k_dir="UrbanSound8K"):
        found = study.cells(study.sized(study.PRESETS["small"]))
    assert {cell["corpus"] for cell in found} == {"urbansound8k"}


def test_shares_are_disjoint_and_keep_a_networks_trainings_together(corpora):
    every = study.cells(study.PRESETS["publication"])
    shares = [choose(every, "*", f"{i}/3", study.STUDY.together) for i in range(3)]
    assert sorted(c.path for c in sum(shares, [])) == sorted(c.path for c in every)
    for share in shares:
        plain = [c.path.replace("adversarial", "plain") for c in share[1::2]]
        assert [c.path for c in share[::2]] == plain


def test_steps_wait_for_the_chosen_length(tmp_path, corpora):
    size = study.sized(study.PRESETS["small"])
    cell = next(c for c in study.cells(size) if c["kind"] == "grid")
    job = Job(cell, study.task(cell, size), tmp_path / "cell", tmp_path, {})
    step = study.work(cell, size)["predictions"]
    with pytest.raises(ValueError, match=r"run --cells='curve/esc10/\*' first"):
        step.run(job)
    for network in size.networks:
        for steps, right in ((300, 5), (600, 8), (900, 8)):
            path = curve._path("esc10", network, steps, 1.0)
            entry = {
                "settings": {},
                "given": None,
                "seconds": 1.0,
                "environment": {},
                "result": {"validation_right": right, "validation_clips": 10},
            }
            cell_files.add(tmp_path / "cells" / path, None, "validation", entry)
    assert step.given(job) == 600

    @dataclasses.dataclass(frozen=True)
    class Length(Step):
        def run(self, job):
            recipe = job.task.recipe
            return {"steps": recipe.num_steps, "every": recipe.validate_every}

    found = dataclasses.replace(step, step=Length()).run(job)
    assert found == {"steps": 600, "every": 60}
    # A length that is given is not chosen.
    with flagsaver.flagsaver(num_steps=40):
        size = study.sized(study.PRESETS["small"])
        assert isinstance(study.work(cell, size)["predictions"], Predict)
        assert not any(c["kind"] == "curve" for c in study.cells(size))


def test_networks_validate_on_recordings_that_do_not_train(corpora):
    size = study.sized(study.PRESETS["small"])
    corpora_of = {study.task(cell, size).corpus for cell in study.cells(size)}
    assert all("validation_share=0.2" in text for text in corpora_of)
    assert {"train_share=0.25" in text for text in corpora_of} == {True, False}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "give --esc50_dir"),
        ({"attacks": ["PGD"]}, "no PGD; there are: FGSM"),
        ({"representation": ["mel"]}, "no 'mel'; there are: stft"),
        ({"folds": ["one"]}, "'one' is no number"),
        ({"cells": "esc10/stft/none/*"}, "matches no cell"),
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
        "cells": "esc10/*",
        "folds": ["1"],
        "pitch_shift": "none",
        "num_steps": 40,
        "num_points": 4,
        "home": str(tmp_path / "home"),
        "out": str(tmp_path / "out"),
    }
    with flagsaver.flagsaver(**given):
        study.main()
        output = capsys.readouterr()
        assert "| ESC-10 | STFT | ResNet-56 |" in output.out
        # A second start finds everything done.
        study.main()
        again = capsys.readouterr()
    assert again.out == output.out
    assert "training resnet56" not in again.err
    folder = tmp_path / "out/cells/esc10/stft/resnet56/fold1/plain"
    cell = cell_files.results(folder)
    with (advjax_data / "ESC-50/meta/esc50.csv").open(newline="") as file:
        num_test = sum(row["fold"] == "1" for row in csv.DictReader(file))
    assert cell["num_test"] == num_test and cell["num_entries"] == 112 * 55
    if cell["accuracy"]:
        assert np.isfinite(read_scan(folder / "DeepFool").sizes).any()
