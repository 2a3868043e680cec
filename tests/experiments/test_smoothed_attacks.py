"""The whole command, from synthetic speakers to attacks judged by votes."""

import dataclasses
import math
import pathlib
import re
import shutil

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.runs import folder as runs
from advjax.runs.row_types import (
    CERTIFICATES,
    SMOOTHED_ATTACKS,
    CertificateRow,
    Run,
    SmoothedAttackRow,
)
from experiments import requests, smoothed_attacks
from experiments.lab import smoothed_attack, smoothed_attack_report

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "tiny",
    "rep": "mfbe",
    "sigma": 0.5,
    "num_steps": 30,
    "batch_size": 16,
    "num_selection": 10,
    "num_estimation": 40,
    "num_points": 4,
    "alpha": 0.01,
    "fractions": ["2"],
    "num_draws": 2,
    "num_votes": 40,
    "eot_attack": [
        "pgd(norm='l2', num_steps=2, stop='last')",
        "carlini_wagner(num_searches=1, num_steps=2)",
    ],
    "compile_cache": False,
}


pytestmark = pytest.mark.usefixtures("need_array_record", "tiny_network")


@pytest.fixture(scope="module")
def home(new_home):
    """A home in which the command has been run."""
    home = new_home()
    with flagsaver.flagsaver(home=str(home), **SMALL):
        smoothed_attacks.main()
    return home


def folder_of(home) -> pathlib.Path:
    (folder,) = home.glob("certify/*/smoothed_attacks-*")
    return folder


@pytest.mark.slow
def test_every_clip_that_is_certified_right_is_attacked_at_every_budget(home):
    folder = folder_of(home)
    certified = CERTIFICATES.read(folder.parent)
    right = {
        id: radius
        for id, radius, correct in zip(
            certified.id, certified.radius, certified.correct, strict=True
        )
        if correct
    }
    assert 0 < len(right) <= 4
    rows = list(SMOOTHED_ATTACKS.read(folder))
    assert {row.clip: row.radius for row in rows} == right
    assert len(rows) == 3 * len(right)
    budgets = {"2 sigma": 1.0, "smallest": math.inf}
    for row in rows:
        assert row.eps == budgets.get(row.budget, 0.999 * row.radius)
        assert row.l2 <= row.eps * (1 + 1e-4)
        assert 0 <= row.p_value <= 1 and row.votes <= 40
    report = (folder / "report.md").read_text()
    assert "| pgd | 2 sigma |" in report
    assert f"{sum(row.inside for row in rows)} perturbations lie inside" in report
    assert (folder / "bounds.png").exists()


@pytest.mark.slow
def test_a_run_cut_short_goes_on_and_gives_the_same_rows(home, capsys):
    path = folder_of(home) / "rows.tsv"
    whole = path.read_text()
    lines = whole.splitlines(keepends=True)
    path.write_text("".join(lines[:-2]) + lines[-2][:7])
    with flagsaver.flagsaver(home=str(home), **SMALL):
        smoothed_attacks.main()
    err = capsys.readouterr().err
    num = (len(lines) - 1) // 3
    assert f"2 of {3 * num} trials to attack" in err
    assert re.search("About .* in all.*: pgd 0.0 s, carlini_wagner", err)
    again = {line.split("\t")[0]: line for line in path.read_text().splitlines()[-num:]}
    for line in whole.splitlines()[-num:]:
        found = again[line.split("\t")[0]].split("\t")
        wanted = line.split("\t")
        assert found[:6] + found[7:8] == wanted[:6] + wanted[7:8]
        assert float(found[6]) == pytest.approx(float(wanted[6]), rel=1e-3)


@pytest.mark.slow
def test_a_flip_inside_the_radius_is_told_and_too_many_are_an_error(home):
    folder = folder_of(home)
    path = folder / "rows.tsv"
    whole = path.read_bytes()
    rows = SMOOTHED_ATTACKS.read(folder)
    broken = [
        row._replace(predict=1 - row.label, l2=0.5 * row.radius)
        if row.budget == "radius"
        else row
        for row in rows
    ]
    clips = sorted({row.clip for row in broken})
    try:
        path.write_bytes(SMOOTHED_ATTACKS.content(broken))
        with pytest.raises(ValueError, match="contradicted: " + ", ".join(clips)):
            smoothed_attack_report.report(folder)
    finally:
        path.write_bytes(whole)


@pytest.mark.slow
def test_a_part_of_the_certified_points_is_attacked_and_reported(home):
    folder = folder_of(home)
    certified = CERTIFICATES.read(folder.parent)
    chosen = sorted(certified, key=lambda row: row.idx)[:: len(certified) - 1]
    with flagsaver.flagsaver(home=str(home), **SMALL):
        system = requests.task().resolve()
    request = smoothed_attack.SmoothedAttackRequest(
        ["pgd(norm='l2', num_steps=2, stop='last')"], fractions=[2], num_draws=2,
        num_votes=40, num_points=2,
    )  # fmt: skip
    part = smoothed_attack.run(system, folder.parent, request, environment={})
    try:
        clips = {row.clip for row in SMOOTHED_ATTACKS.read(part)}
        assert clips == {row.id for row in chosen if row.correct}
        run = smoothed_attack_report.attacked_run(part)
        assert [row.id for row in run.rows] == [row.id for row in chosen]
        # The other run has attacked all points.
        every = smoothed_attack_report.attacked_run(folder)
        assert len(every.rows) == len(certified)
    finally:
        shutil.rmtree(part)


@pytest.mark.slow
def test_votes_of_another_engine_are_attacked_by_gradients_of_jax(new_home):
    pytest.importorskip("openvino")
    home, given = new_home(), SMALL | {"engine": "openvino"}
    with flagsaver.flagsaver(home=str(home), **given):
        smoothed_attacks.main()
    folder = folder_of(home)
    rows = list(SMOOTHED_ATTACKS.read(folder))
    settings = runs.description(folder)["settings"]["certificates"]
    assert settings["engine"] == "openvino"
    # A gradient of zero would leave PGD where it started.
    assert rows and all(row.l2 > 0 for row in rows if row.attack.startswith("pgd"))


def test_only_an_engine_without_gradients_is_left(tmp_path):
    with flagsaver.flagsaver(home=str(tmp_path), **SMALL | {"precision": "bfloat16"}):
        draft = requests.task().draft()
    assert smoothed_attack.differentiable(draft) == draft
    task = dataclasses.replace(draft.task, engine="openvino")
    changed = smoothed_attack.differentiable(dataclasses.replace(draft, task=task)).task
    assert (changed.engine, changed.precision) == ("jax", "float32")


def test_attacked_places_are_spread_over_the_certified_points():
    assert smoothed_attack.attacked_places(5, None) == [0, 1, 2, 3, 4]
    assert smoothed_attack.attacked_places(9, 3) == [0, 4, 8]
    assert smoothed_attack.attacked_places(2, 60) == [0, 1]


@pytest.mark.slow
def test_the_imperceptible_attack_is_run_at_the_waveform_only(home):
    with flagsaver.flagsaver(home=str(home), **SMALL | {"rep": "waveform"}):
        draft = requests.task().draft()
    texts = smoothed_attack.default_attacks(draft, num_steps=20)
    names = [text.split("(")[0] for text in texts]
    assert names == ["pgd", "carlini_wagner", "imperceptible"]
    with flagsaver.flagsaver(home=str(home), **SMALL):
        there = requests.task().draft()
        elsewhere = smoothed_attack.default_attacks(there, num_steps=20)
    assert len(elsewhere) == 2
    request = smoothed_attack.SmoothedAttackRequest(texts)
    smoothed_attack.check(draft, request)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"eot_attack": ["pgd(num_steps=2)"]}, "give norm='l2'"),
        ({"eot_attack": ["carlini_wagner(targeted=True)"]}, "Leave targeted out"),
        ({"eot_attack": ["imperceptible"]}, "give --rep=waveform"),
        ({"noise": "uniform"}, "Give --noise=gaussian"),
    ],
)
def test_what_no_l2_radius_speaks_of_is_refused_before_any_work(
    tmp_path, changes, complaint
):
    with (
        flagsaver.flagsaver(home=str(tmp_path), **SMALL | changes),
        pytest.raises(ValueError, match=complaint),
    ):
        smoothed_attacks.main()
    assert not any(tmp_path.iterdir())


ROW = SmoothedAttackRow("a", 0, 0.5, "pgd", "1 sigma", 1.0, 1.0, 0, 0.0, 9)


def test_the_verdict_counts_clips_and_allows_what_chance_does():
    rows = [
        ROW._replace(clip="a", l2=0.4, predict=1),
        ROW._replace(clip="a", l2=0.3, predict=1),
        ROW._replace(clip="b", l2=0.4, predict=-1),
        ROW._replace(clip="c", l2=0.6, predict=1),
    ]
    found = smoothed_attack_report.verdict(rows, num_points=100, alpha=0.001)
    assert found.num_inside == 3 and found.broken == ["a"]
    # One of a hundred at a rate of 0.002 is nothing special: 1 - 0.998^100.
    assert found.p_value == pytest.approx(1 - 0.998**100)


def test_the_table_names_attacks_so_that_they_differ():
    rows = [
        ROW._replace(attack="pgd(num_steps=2)", predict=1),
        ROW._replace(attack="carlini_wagner", budget="smallest", l2=0.0),
    ]
    short = smoothed_attack_report.attack_table(rows, num_points=4).rows
    assert short[0][:7] == ["pgd", "1 sigma", "1", "1", "1", "1", "0"]
    assert short[1][:6] == ["carlini_wagner", "smallest", "1", "0", "–", "0"]
    left = [line[-1] for line in short]
    assert left == ["0.000 [0.00, 0.60]", "0.250 [0.01, 0.81]"]
    more = [*rows, ROW._replace(attack="pgd(num_steps=9)")]
    long = smoothed_attack_report.attack_table(more, num_points=4).rows
    assert [line[0] for line in long] == [row.attack for row in more]


def test_the_curves_fall_at_radii_and_at_the_smallest_flips():
    radii = {"a": 0.2, "b": 0.3, "c": 0.5, "d": 0.4}
    certified = [
        CertificateRow(i, 0, i // 3, radius, i < 3, 0.0, id, 0.0, 0, 1, 0.0)
        for i, (id, radius) in enumerate(radii.items())
    ]
    rows = [
        ROW._replace(clip="a", l2=0.9, predict=1),
        ROW._replace(clip="a", l2=0.7, predict=1),
        ROW._replace(clip="b", l2=0.6, predict=-1),
        ROW._replace(clip="c", l2=2.0, predict=1),
        ROW._replace(clip="b", l2=2.5, predict=0),
    ]
    run = Run("run", CERTIFICATES.rows(certified), cap=0.5)
    attacked, held = smoothed_attack_report.bound_curves(run, rows)
    np.testing.assert_array_equal(attacked.size, [0, 0.7, 2.0, 2.5])
    np.testing.assert_array_equal(attacked.accuracy, [0.75, 0.5, 0.25, 0.25])
    np.testing.assert_array_equal(held.size, [0, 0.2, 0.3, 0.5])
    np.testing.assert_array_equal(held.accuracy, [0.75, 0.5, 0.25, 0.25])


def test_the_time_of_all_attacks_follows_from_that_of_the_votes():
    certified = [
        CertificateRow(i, 0, 0, 0.1, True, time, f"c{i}", 0.9, 30, 40, 0.0)
        for i, time in enumerate((90.0, 5.0, 5.0))  # the first one compiles
    ]
    left = {"pgd(num_steps=2)": 1000, "carlini_wagner": 3000}
    (line,) = smoothed_attack.expected_durations(left, CERTIFICATES.rows(certified), 10)
    assert line.startswith("About 6 min 40 s in all")
    assert "pgd 1 min 40 s, carlini_wagner 5 min 00 s" in line
    untimed = CERTIFICATES.rows([certified[0]._replace(time=0.0)])
    assert smoothed_attack.expected_durations(left, untimed, 10) == []
