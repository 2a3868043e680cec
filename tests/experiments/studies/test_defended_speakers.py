"""The study at its smallest size, on synthetic speakers."""

import csv
import itertools
import pathlib
import types

import numpy as np
import pytest
from absl.testing import flagsaver
from scipy import stats

from advjax.evaluation import Point
from advjax.runs.row_types import (
    CERTIFICATES,
    CertificateRow,
    Run,
    SmoothedAttackRow,
)
from experiments.lab import cell_files, presets
from experiments.lab.adversarial_examples import ExampleFolder
from experiments.lab.cells import product
from experiments.lab.certify_settings import Certification
from experiments.lab.task import Task
from experiments.studies import defended_speakers
from experiments.studies.speakers import defended_sizes, heuristics, selection
from experiments.studies.speakers.defended_report import (
    Finished,
    Hits,
    bound_lines,
    gap_closed,
    gap_table,
    inside_table,
    stage_table,
)
from experiments.studies.speakers.selection import Candidate

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "num_steps": 30,
    "batch_size": 16,
    "num_points": 3,
    "votes": 100,
    "compile_cache": False,
}
WEAK = defended_sizes.Attacks(2, 2, 2, 1, 2, 2, (2, 2), 2)


@pytest.fixture
def weak_attacks(monkeypatch):
    """The smallest preset with attacks of a few steps."""
    size = defended_sizes.PRESETS["small"]
    size = size._replace(preset=presets.SMALL, attacks=WEAK, num_validation=4)
    monkeypatch.setitem(defended_sizes.PRESETS, "small", size)


@pytest.mark.slow
@pytest.mark.usefixtures("need_array_record", "tiny_network", "weak_attacks")
def test_cells_heuristics_and_the_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(heuristics, "CHANGES", ("none", "masked noise x 0.5"))
    given = SMALL | {"home": str(tmp_path / "home"), "out": str(tmp_path / "out")}
    given["cells"] = "waveform/*, heuristics/*"
    with flagsaver.flagsaver(**given):
        defended_speakers.main()
        report = capsys.readouterr().out
        defended_speakers.main()
    assert report.splitlines()[-1] == capsys.readouterr().out.splitlines()[-1]
    for figure in ("meaning.png", "waveform.png"):
        assert (tmp_path / "out" / figure).stat().st_size > 10_000
    text = (tmp_path / "out" / "study.md").read_text()
    assert "| plain |" in text and "| gaussian |" in text
    assert "| waveform | gaussian | carlini_wagner |" in text
    kept = sorted((tmp_path / "out" / "heuristics").rglob("*.tsv"))
    assert len(kept) == 2 * 4
    with kept[-1].open() as stream:
        next(stream)
        rows = list(csv.DictReader(stream, delimiter="\t"))
    changes = [row["transform"] for row in rows]
    assert changes == 2 * ["none"] + 2 * ["masked noise x 0.5"]
    # Examples are kept until their predictions are.
    assert not list((tmp_path / "home" / "heuristics").iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("need_array_record", "tiny_network", "weak_attacks")
def test_validation_crops_choose_the_setting_of_the_cells(tmp_path, monkeypatch):
    settings = [Candidate(f"consistency(lbd={lbd})", "a test") for lbd in (1.0, 99.0)]
    monkeypatch.setattr(selection, "CANDIDATES", {"consistency": settings})
    out = tmp_path / "out"
    given = SMALL | {"home": str(tmp_path / "home"), "out": str(out)}
    with (
        flagsaver.flagsaver(**given, cells="mfbe/consistency"),
        pytest.raises(ValueError, match=r"run the cells selection/consistency/\*"),
    ):
        defended_speakers.main()
    with flagsaver.flagsaver(**given, cells="selection/*, mfbe/consistency"):
        defended_speakers.main()
    choice = selection.chosen(out, "consistency")
    description = (out / "cells/mfbe/consistency/run.json").read_text()
    assert choice.replace("(", "(sigma=0.5, ") in description
    step = cell_files.read(out / "cells/mfbe/consistency")["steps"]["certificates"]
    assert step["given"] == choice
    text = (out / "study.md").read_text()
    assert text.count("| chosen |") == 1 and "on each of 4 validation crops" in text


def test_examples_of_an_earlier_start_are_not_made_again(tmp_path, monkeypatch):
    points = [Point(i, f"a@{i}", np.full(3, i, np.float32), 0, 1.0) for i in range(2)]
    kept = tmp_path / "kept"
    ExampleFolder(kept).write("a@0", np.float32([9, 9, 9]))

    def attack_points(attack, logits_fn, points, key, *, resume, **_):
        for point in points:
            if point.id not in resume.done:
                yield types.SimpleNamespace(id=point.id), point.x + 1

    built = types.SimpleNamespace(fixed_budget=False)
    monkeypatch.setattr(heuristics.evaluation, "attack_points", attack_points)
    monkeypatch.setattr(heuristics.attack_requests, "build", lambda *_: built)
    system = types.SimpleNamespace(
        logits_fn=lambda: None, task=types.SimpleNamespace(seed=0)
    )
    column = heuristics.Column("imperceptible", None, 0)
    step = heuristics.Heuristics(2, WEAK, smoothed=False)
    found = step._attack(system, points, column, kept)
    np.testing.assert_array_equal(found["a@0"], [9, 9, 9])
    np.testing.assert_array_equal(found["a@1"], [2, 2, 2])
    monkeypatch.setattr(heuristics.evaluation, "attack_points", lambda *_, **__: ())
    again = step._attack(system, points, column, kept)
    np.testing.assert_array_equal(again["a@1"], [2, 2, 2])


def study_cells():
    return defended_speakers.cells(defended_sizes.PRESETS["small"])


def test_what_can_be_given_up_comes_last():
    kinds = [cell.path.partition("/")[0] for cell in study_cells()]
    order = [kind for kind, _ in itertools.groupby(kinds)]
    last = ["waveform", "heuristics", "seed2", "magnitude"]
    assert order == ["selection", "mfbe", "seed1", *last]


def test_no_cell_lies_in_the_folder_of_another_one():
    paths = [pathlib.PurePath(cell.path) for cell in study_cells()]
    assert not {path for path in paths if {*path.parents} & {*paths}}


def test_votes_keep_the_engine_and_attacks_without_votes_have_gradients():
    base = Task(home=pathlib.Path(), engine="openvino", precision="bfloat16", seed=5)
    size = defended_sizes.PRESETS["small"]._replace(
        base=base, certification=Certification(100, 1000)
    )
    tasks = {cell.path: defended_speakers.task(cell, size) for cell in study_cells()}
    without = {path for path, task in tasks.items() if task.engine == "jax"}
    assert without == {
        *(f"{stage}/plain" for stage in ("mfbe", "magnitude", "waveform")),
        *("heuristics/plain", "heuristics/gaussian"),
    }
    assert {tasks[path].precision for path in without} == {"float32"}
    again = tasks["seed2/mfbe/macer"]
    assert (again.engine, again.precision, again.seed) == ("openvino", "bfloat16", 7)
    assert again.recipe.num_steps == 900 and tasks["mfbe/gaussian"].seed == 5
    assert tasks["waveform/gaussian"].recipe.num_steps == 1500


def test_attacks_have_the_strength_of_the_sizes():
    base, size = Task(home=pathlib.Path()), defended_sizes.PRESETS["small"]
    size = size._replace(base=base, certification=Certification(100, 1000))
    cells = {cell.path: cell for cell in study_cells()}
    steps = defended_speakers.work(cells["mfbe/smooth_adv"], size)
    assert steps["certificates"].step.num_points == 100
    pgd, search = (steps[name].step.request for name in ("attacks", "carlini_wagner"))
    assert pgd.attacks == ["pgd(norm='l2', num_steps=50, stop='last')"]
    assert (pgd.num_draws, pgd.num_points, pgd.fractions) == (16, 60, (2.0, 4.0))
    assert search.attacks[0].startswith(
        "carlini_wagner(num_searches=3, num_steps=100, confidence=1.0"
    )
    assert (search.num_draws, search.num_points) == (8, 60)
    columns = heuristics.columns(size.attacks)
    assert columns["imperceptible"].attack == "imperceptible(num_steps=(200, 800))"
    assert columns["PGD 30 dB"].num_draws == 16


def run_of(radii):
    """A run of clips that are right up to these radii; cap 1.2."""
    rows = [
        CertificateRow(i, 0, 0, radius, True, 0.0, f"{i}@0", 0.0, 0, 0, 0.0)
        for i, radius in enumerate(radii)
    ]
    return Run("run", CERTIFICATES.rows(rows), cap=1.2)


def finished(training, radii=None, seed=0, right=(True, False), attacks=()):
    hits = Hits(("0@0", "1@0"), np.array([True, True]))
    left = [Hits(hits.ids, np.array(right))] * 2
    run = run_of(radii) if radii else None
    return Finished(training, seed, hits, run, left, run, attacks)


def test_the_share_of_the_gap_is_between_gaussian_and_the_cap():
    cells = [
        finished("plain"),
        finished("gaussian", [0.4, 0.8]),
        finished("macer(lbd=1.0)", [0.6, 1.2], right=(True, True)),
    ]
    plain, gaussian, macer = stage_table("mfbe", cells).rows
    bare = [[text.partition(" [")[0] for text in row] for row in (plain, gaussian)]
    assert bare[0] == ["plain", "1.000", "–", "–", "–", "–", "–", "0.500", "0.500"]
    assert bare[1][1:7] == ["1.000", "0.500", "0.000", "0.000", "0.6000", "+0.00"]
    # Half of the way from 0.6 to 1.2; of the first clip 0.25, of the second one all.
    assert macer[0] == "macer(lbd=1.0)" and macer[2].startswith("1.000 [")
    assert macer[5:7] == ["0.9000 [0.600, 1.200]", "+0.50 [+0.25, +1.00]"]
    assert macer[7].startswith("1.000 [")


def test_a_study_whose_first_cells_are_finished_has_no_tables_of_others():
    assert not stage_table("mfbe", []).rows
    assert not gap_table([]).rows and not inside_table({}).rows


def test_gaps_are_of_each_seed_and_their_interval_is_wider_than_of_one():
    clips = np.random.default_rng(0).uniform(0.2, 0.6, 50)
    base = [finished("gaussian", list(clips + 0.01 * seed), seed) for seed in range(3)]
    gains = (0.1, 0.3, 0.5)
    cells = [
        finished("smooth_adv", list(clips + 0.01 * s + gains[s]), s) for s in (2, 0, 1)
    ]
    gap = gap_closed(cells, base)
    means = [clips.mean() + 0.01 * seed for seed in range(3)]
    expected = [gain / (1.2 - mean) for gain, mean in zip(gains, means, strict=True)]
    assert list(gap.each) == [0, 1, 2]
    assert list(gap.each.values()) == pytest.approx(expected)
    assert gap.mean == pytest.approx(0.3 / (1.2 - means[1]))
    # Drawing seed 0 or seed 2 thrice has one chance in 27 each: beyond both tails.
    assert gap.interval[0] == pytest.approx(expected[0], abs=0.03)
    assert gap.interval[1] == pytest.approx(expected[2], abs=0.08)
    alone = gap_closed(cells[:1], base)
    assert list(alone.each) == [2]
    assert np.ptp(alone.interval) < np.ptp(gap.interval) / 2
    assert gap_closed(cells[:1], base[:1]) is None

    (line,) = gap_table([*base, *cells]).rows
    low, high = stats.t.interval(0.95, 2, np.mean(expected), stats.sem(expected))
    assert line[:4] == ["smooth_adv", *(f"{each:+.2f}" for each in expected)]
    assert line[5:] == [f"{low:+.2f} to {high:+.2f}", "yes"]
    assert not gap_table([base[0], cells[1]]).rows  # one seed has no spread


def test_flips_inside_of_radii_are_counted_over_seeds_and_attacks():
    row = SmoothedAttackRow("0@0", 0, 0.5, "pgd(x=1)", "radius", 0.5, 0.4, 0, 0.0, 9)
    rows = [row, row._replace(predict=1), row._replace(l2=0.9, predict=1)]
    search = row._replace(attack="carlini_wagner", l2=0.0)
    cells = {
        product(stage=["mfbe"], training=["gaussian"], seed=[seed])[0]: finished(
            "gaussian", [0.4, 0.8], seed, attacks=[*rows, search]
        )
        for seed in (0, 1)
    }
    pgd, searched, every = inside_table(cells).rows
    assert pgd == ["mfbe", "gaussian", "pgd", "6", "4", "2", "4", "0.65"]
    assert searched == ["mfbe", "gaussian", "carlini_wagner", "0", "0", "0", "0", ""]
    assert every == ["all", "", "", "6", "4", "2", "4", ""]

    # Of four clips, both first ones fall: each network has its own.
    attacked, certified = bound_lines(list(cells.values()))
    assert attacked.label == "gaussian, attacked"
    np.testing.assert_array_equal(attacked.accuracy, [1, 0.75, 0.5, 0.5])
    np.testing.assert_array_equal(attacked.size, [0, 0.4, 0.4, 0.9])
    np.testing.assert_allclose(certified.size, [0, 0.4, 0.8, 0.8, 1.2])
    assert certified.label == "gaussian, certified"
    other = finished("macer(lbd=1.0)", [0.4, 0.8], attacks=rows)
    labels = [line.label for line in bound_lines([*cells.values(), other])]
    assert labels == [attacked.label, "macer(lbd=1.0), attacked", certified.label]


def test_transforms_are_drawn_anew_for_each_clip_and_alike_in_every_start():
    wave = np.random.default_rng(0).normal(0, 0.1, 25_800).astype(np.float32)
    change = heuristics._transform("masked noise x 1", 16_000)
    first, again, other = (
        change(wave, 16_000, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - wave).max() > 0 and np.abs(first - other).max() > 0
    assert first.dtype == np.float32 and first.shape == wave.shape
    quiet = heuristics._transform("masked noise x 0.25", 16_000)(
        wave, 16_000, np.random.default_rng(1)
    )
    np.testing.assert_allclose(quiet - wave, (first - wave) / 4, atol=1e-5)


@pytest.mark.usefixtures("need_array_record", "tiny_network")
def test_a_pattern_without_cells_is_refused(tmp_path):
    given = SMALL | {"home": str(tmp_path), "cells": "mel/*"}
    with (
        flagsaver.flagsaver(**given),
        pytest.raises(ValueError, match="selection/gaussian"),
    ):
        defended_speakers.main()
