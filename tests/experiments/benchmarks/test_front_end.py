import json
import sys
import types

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import LogMel, Magnitude, MelEnergies, Waveform
from experiments.benchmarks import front_end
from experiments.benchmarks.front_end import compete, our_pass
from experiments.benchmarks.problems import voices
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals.front_ends import RIVALS
from experiments.benchmarks.work import Turn

# No constant is a default, so that a rival with a constant of its own is found out.
MAGNITUDE = Magnitude(
    source=Waveform(sample_rate_hz=8000, num_samples=1510),
    frame_length=200,
    hop=90,
    num_fft=256,
    window="hamming",
    preemphasis=0.9,
)
ALL = [
    MAGNITUDE,
    MelEnergies(source=MAGNITUDE, num_bands=20),
    LogMel(source=MAGNITUDE, num_bands=20, floor=1e-5),
]
NAMES = [representation.name for representation in ALL]


def arrays(found):
    return [np.asarray(x) for x in found]


@pytest.mark.parametrize("representation", ALL, ids=NAMES)
@pytest.mark.parametrize("library", list(RIVALS))
def test_rivals_compute_what_ours_does(representation, library):
    pytest.importorskip(library)
    # More than PyTorch takes at once, and no multiple of it.
    clips, cotangent = voices(representation, 11, seed=0)
    ours = arrays(our_pass(representation, clips, None)())
    assert ours[0].shape == (11, *representation.feature_shape[:2])
    passes = RIVALS[library](representation, clips, None)
    assert passes
    for call in passes.values():
        (features,) = arrays(call())
        scale = np.abs(ours[0]).max()
        np.testing.assert_allclose(features, ours[0], rtol=0, atol=1e-5 * scale)
    gradients = RIVALS[library](representation, clips, cotangent)
    assert bool(gradients) == (library == "torch")
    ours = arrays(our_pass(representation, clips, cotangent)())
    for call in gradients.values():
        _, gradient = arrays(call())
        scale = np.abs(ours[1]).max()
        np.testing.assert_allclose(gradient, ours[1], rtol=0, atol=1e-3 * scale)


def test_parts_of_a_batch_are_the_batch():
    clips, cotangent = voices(MAGNITUDE, 5, seed=0)
    whole = arrays(our_pass(MAGNITUDE, clips, cotangent)())
    parts = arrays(our_pass(MAGNITUDE, clips, cotangent, at_once=2)())
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(a).max())


def test_our_gradient_is_that_of_the_weighted_sum():
    clips, cotangent = voices(MAGNITUDE, 2, seed=0)

    def total(wave):
        (features,) = our_pass(MAGNITUDE, wave, None)()
        return float((np.asarray(features, np.float64) * cotangent).sum())

    _, gradient = arrays(our_pass(MAGNITUDE, clips, cotangent)())
    direction = 1e-4 * gradient / np.abs(gradient).max()
    slope = (total(clips + direction) - total(clips - direction)) / 2
    assert slope == pytest.approx(float((gradient * direction).sum()), rel=5e-3)


def test_a_rival_with_another_constant_is_refused(monkeypatch):
    pytest.importorskip("librosa")
    other = Magnitude(source=MAGNITUDE.source, frame_length=200, hop=90, num_fft=256)
    librosa = RIVALS["librosa"]

    def wrong(representation, clips, cotangent):
        del representation
        return librosa(other, clips, cotangent)

    monkeypatch.setitem(RIVALS, "librosa", wrong)
    clips, _ = voices(MAGNITUDE, 2, seed=0)
    with pytest.raises(ValueError, match="not the same work"):
        compete("magnitude", MAGNITUDE, clips, None, libraries=["librosa"], num_turns=1)


def test_clips_are_loud_and_differ():
    clips, _ = voices(MAGNITUDE, 5, seed=0)
    assert clips.shape == (5, 1510)
    assert np.abs(clips).max() <= 1.0
    assert len({clip.tobytes() for clip in clips}) == 5


def test_a_way_is_left_out_beside_a_much_faster_one_of_the_same_rival(monkeypatch):
    kinds = {"ours": "ours", "PyTorch a": "torch", "PyTorch b": "torch"}
    kinds |= {"PyTorch c": "torch", "librosa": "librosa", "bare": "ceiling"}
    times = dict(zip(kinds, (1, 2, 5, 7, 90, 900), strict=True))
    entrants = [
        types.SimpleNamespace(
            contestant=types.SimpleNamespace(kind=kind), last=Turn(1, times[by], 0, 0)
        )
        for by, kind in kinds.items()
    ]
    monkeypatch.setattr(
        front_end.harness, "turns_of", lambda seconds: lambda entrants: [4] * 6
    )
    assert front_end.units_of_turns(entrants) == [4, 4, 4, 0, 4, 4]


def took(name, kind, *wall_s):
    turns = tuple(Turn(10, s, 2 * s if kind == "ours" else s, 0) for s in wall_s)
    return Result(name, kind, turns[0], turns)


def test_the_bare_operations_count_by_the_faster_of_each():
    found = (
        took("ours", "ours", 0.5, 1.0, 2.0),
        took("transform XLA", "ceiling", 0.25, 0.25, 0.25),
        took("transform SciPy", "ceiling", 0.125, 0.125, 0.125),
        took("product XLA", "ceiling", 0.0625, 0.0625, 0.0625),
        took("product SciPy", "ceiling", 1.0, 1.0, 1.0),
    )
    assert front_end.bare_s(found) == pytest.approx((0.125 + 0.0625) / 10)
    assert front_end.bare_s(found[:1]) == 0


def test_a_row_is_the_fastest_way_of_a_kind():
    found = (
        took("ours", "ours", 0.5, 1.0, 2.0),
        took("ours, 8 at once", "ours, 8 at once", 0.25, 0.8, 0.8),
        took("PyTorch a", "torch", 2.0, 2.0, 2.0),
        took("PyTorch b", "torch", 20.0),
        took("librosa", "librosa", 3.0, 3.0, 1.0),
    )
    facts = {
        "panel": "mfbe, features", "clips": 10, "clip_s": 1.6125,
        "ceiling": 1 / 0.01875,
        "difference": {"features": {"PyTorch a": 1e-6, "librosa": 1e-5}},
    }  # fmt: skip
    table = front_end.summary([Contest("mfbe", "clips", found, facts)])
    rows = {row[0]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    assert list(rows) == ["ours", "ours, 8 at once", "PyTorch a", "librosa"]
    row = rows["ours"]
    assert row["clips/s"] == "10"  # the median turn
    assert row["times the best rival"] == "2.00 [1.00, 4.00]"
    assert row["by CPU time"] == "1.00 [0.50, 2.00]"
    assert row["of the ceiling"] == "0.19"
    row = rows["ours, 8 at once"]
    assert row["clips/s"] == "12.5"
    assert row["times the best rival"] == "2.50 [2.50, 8.00]"
    assert any("1e-05 (features)" in note for note in table.notes)


@pytest.mark.slow
def test_the_program_writes_table_turns_and_figure(tmp_path):
    pytest.importorskip("librosa")
    small = "mfbe(num_bands=20)"
    with flagsaver.flagsaver(
        representation=[small, "magnitude"],
        rivals=["librosa"],
        clips=["1", "2"],
        turns=2,
        out=str(tmp_path),
    ):
        front_end.main()
    table = (tmp_path / "front_end.md").read_text()
    assert table.count(f"| {small}, ") == 6
    spelled = json.loads((tmp_path / "front_end.json").read_text())
    contests = spelled["contests"]
    named = [(one["facts"]["panel"], one["facts"]["clips"]) for one in contests]
    assert named == [
        (f"{name}, {kind}", clips)
        for name in (small, "magnitude")
        for clips in (1, 2)
        for kind in ("features", "gradient")
    ]
    first, second = contests[:2]
    assert first["facts"]["representation"]["num_bands"] == 20

    def raced(one):
        return {r["name"] for r in one["results"] if r["kind"] != "ceiling"}

    assert raced(first) == {"ours", "librosa"} and raced(second) == {"ours"}
    assert all(len(one["turns"]) == 2 for one in first["results"])
    assert first["facts"]["difference"]["features"]["librosa"] < 1e-5
    bare = [one["name"] for one in first["results"] if one["kind"] == "ceiling"]
    assert {name.split()[0] for name in bare} == {"transform", "product"}
    assert (tmp_path / "front_end.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("rivals", ["essentia"], "choose among torch, librosa"),
        ("rivals", ["torch"], "pip install .advjax"),
        ("representation", ["waveform"], "unknown choice"),
        ("clips", ["0"], "whole numbers"),
    ],
)
def test_what_cannot_be_timed_is_refused(monkeypatch, flag, value, message):
    monkeypatch.setitem(sys.modules, "torch", None)
    with (
        flagsaver.flagsaver(**{flag: value}),
        pytest.raises((ValueError, ModuleNotFoundError), match=message),
    ):
        front_end.main()
