"""The choice of settings by their radii on validation crops."""

import pytest
from scipy import stats

from advjax import smoothing
from experiments.lab import cell_files, defences
from experiments.studies.speakers import selection


def add_radii(out, path, radii):
    step = {
        "settings": {}, "given": None, "seconds": 1.0, "environment": {},
        "result": {"validation_radii": radii, "recordings": ["a"] * len(radii)},
    }  # fmt: skip
    cell_files.add(out / "cells" / path, None, "validation", step)


def test_the_first_setting_of_the_largest_radius_is_chosen_once_all_are_there(tmp_path):
    names = [each.text for each in selection.CANDIDATES["macer"]]
    for number, radii in enumerate(([0.1, 0.2], [0.3, 0.4], [0.4, 0.3]), 1):
        add_radii(tmp_path, f"selection/macer/{number}", radii)
    assert selection.chosen(tmp_path, "macer") is None
    add_radii(tmp_path, "selection/macer/4", [0.0, 0.6])
    assert selection.chosen(tmp_path, "macer") == names[1]
    add_radii(tmp_path, "selection/macer/4", [0.2, 0.6])
    assert selection.chosen(tmp_path, "macer") == names[3]
    lines = selection.table(tmp_path).rows
    assert [line[0] for line in lines] == names
    assert [line[2] for line in lines] == ["", "", "", "chosen"]
    assert lines[3][1] == "0.4000 [0.400, 0.400]"  # one recording


def test_at_most_four_settings_of_a_defence_that_can_be_built():
    assert list(selection.CANDIDATES) == ["consistency", "macer", "smooth_adv"]
    for name, every in selection.CANDIDATES.items():
        texts = [each.text for each in every]
        assert len(set(texts)) == len(texts) <= 4
        for text in texts:
            assert text.startswith(f"{name}(")
            defences.gradients(text, sigma=0.5, noise=smoothing.gaussian(0.5))


def test_estimated_radii_are_those_of_the_posterior_mean():
    noise = smoothing.gaussian(0.5)
    found = selection.estimated_radius(150, 200, noise, 1.2)
    assert found == pytest.approx(0.5 * stats.norm.ppf(150.5 / 201))
    assert selection.estimated_radius(200, 200, noise, 1.2) == 1.2
    assert selection.estimated_radius(100, 200, noise, 1.2) == 0.0
    assert selection.estimated_radius(30, 200, noise, 1.2) == 0.0
