"""The study at its smallest size, on synthetic speakers."""

import csv

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.metrics.shares import Share
from advjax.runs.row_types import CERTIFICATES, CertificateRow, Run
from experiments.lab.cells import Cell, product
from experiments.studies import defended_speakers
from experiments.studies.speakers import heuristics
from experiments.studies.speakers.defended_report import Curves, stage_table

SMALL = {
    "corpus": "voices(num_speakers=2, minutes_per_speaker=0.5)",
    "model": "alexnet(width=12, resize=35)",
    "num_steps": 30,
    "batch_size": 16,
    "num_points": 3,
    "votes": 100,
    "cells": "waveform/*, heuristics/*",
    "compile_cache": False,
}


pytestmark = pytest.mark.usefixtures("need_array_record")


@pytest.mark.slow
def test_cells_heuristics_and_the_figure(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(defended_speakers.TRAININGS, "waveform", ("plain", "gaussian"))
    monkeypatch.setattr(heuristics, "CHANGES", ("none", "masked noise"))
    given = SMALL | {"home": str(tmp_path / "home"), "out": str(tmp_path / "out")}
    with flagsaver.flagsaver(**given):
        defended_speakers.main()
        report = capsys.readouterr().out
        defended_speakers.main()
    assert report.splitlines()[-1] == capsys.readouterr().out.splitlines()[-1]
    assert (tmp_path / "out" / "meaning.png").stat().st_size > 10_000
    text = (tmp_path / "out" / "study.md").read_text()
    assert "| plain |" in text and "| gaussian |" in text
    kept = sorted((tmp_path / "out" / "heuristics").rglob("*.tsv"))
    assert len(kept) == 2 * 4
    with kept[-1].open() as stream:
        next(stream)
        rows = list(csv.DictReader(stream, delimiter="\t"))
    assert [row["transform"] for row in rows] == 3 * ["none"] + 3 * ["masked noise"]


ALL = Share(2, 2)


def cell(stage, training) -> Cell:
    return product(stage=[stage], training=[training])[0]


def run_of(radii):
    """A run of clips that are right up to these radii; cap 1."""
    rows = [
        CertificateRow(i, 0, 0, radius, True, 0.0, str(i), 0.0, 0, 0, 0.0)
        for i, radius in enumerate(radii)
    ]
    return Run("run", CERTIFICATES.rows(rows), cap=1.2)


def test_the_share_of_the_gap_is_between_gaussian_and_the_cap():
    found = {
        cell("mfbe", "plain"): Curves(ALL, None, [Share(5, 10), Share(2, 10)], None),
        cell("mfbe", "gaussian"): Curves(ALL, run_of([0.4, 0.8]), [ALL, ALL], None),
        cell("mfbe", "macer"): Curves(ALL, run_of([0.6, 1.2]), [ALL, ALL], None),
        cell("waveform", "macer"): Curves(ALL, run_of([0.0, 0.1]), [ALL, ALL], None),
    }
    plain, gaussian, macer = (
        [text.partition(" [")[0] for text in row]
        for row in stage_table("mfbe", found).rows
    )
    assert stage_table("mfbe", found).rows[0][7] == "0.500 [0.19, 0.81]"
    assert plain[1:7] == ["1.000", "–", "–", "–", "–", "–"]
    assert plain[7:] == ["0.500", "0.200"]
    assert gaussian[1:7] == ["1.000", "0.500", "0.000", "0.000", "0.6000", "+0.00"]
    # Half of the way from 0.6 to 1.2.
    assert macer[1:7] == ["1.000", "1.000", "0.500", "0.500", "0.9000", "+0.50"]


def test_transforms_are_drawn_anew_for_each_clip_and_alike_in_every_start():
    wave = np.random.default_rng(0).normal(0, 0.1, 25_800).astype(np.float32)
    change = heuristics._transform("masked noise", 16_000)
    first, again, other = (
        change(wave, 16_000, np.random.default_rng(seed)) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - wave).max() > 0 and np.abs(first - other).max() > 0
    assert first.dtype == np.float32 and first.shape == wave.shape


def test_a_pattern_without_cells_is_refused(tmp_path):
    given = SMALL | {"home": str(tmp_path), "cells": "mel/*"}
    with flagsaver.flagsaver(**given), pytest.raises(ValueError, match="mfbe/gaussian"):
        defended_speakers.main()
