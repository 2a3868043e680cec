import json
import sys

import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import LogMel, Magnitude, MelEnergies, Waveform
from experiments.benchmarks import front_end, front_end_contest
from experiments.benchmarks.front_end_contest import (
    Contestant,
    Result,
    compete,
    our_pass,
    problem,
)
from experiments.benchmarks.front_end_rivals import RIVALS

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
    clips, cotangent = problem(representation, 11, seed=0)
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
    clips, cotangent = problem(MAGNITUDE, 5, seed=0)
    whole = arrays(our_pass(MAGNITUDE, clips, cotangent)())
    parts = arrays(our_pass(MAGNITUDE, clips, cotangent, at_once=2)())
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(a).max())


def test_our_gradient_is_that_of_the_weighted_sum():
    clips, cotangent = problem(MAGNITUDE, 2, seed=0)

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

    monkeypatch.setitem(front_end_contest.RIVALS, "librosa", wrong)
    clips, _ = problem(MAGNITUDE, 2, seed=0)
    with pytest.raises(ValueError, match="not the same front end"):
        compete("magnitude", MAGNITUDE, clips, None, libraries=["librosa"], num_turns=1)


def test_clips_are_loud_and_differ():
    clips, _ = problem(MAGNITUDE, 5, seed=0)
    assert clips.shape == (5, 1510)
    assert np.abs(clips).max() <= 1.0
    assert len({clip.tobytes() for clip in clips}) == 5


def test_every_turn_has_another_order():
    order = []
    contestants = [Contestant(lambda i=i: order.append(i)) for i in range(3)]
    front_end_contest.take_turns(contestants, 3)
    assert order == [0, 1, 2, 1, 2, 0, 2, 0, 1]
    assert all(len(one.wall_s) == len(one.cpu_s) == 3 for one in contestants)


def test_a_way_is_left_out_beside_a_much_faster_one_of_the_same_rival():
    times = {"ours": 1, "PyTorch a": 2, "PyTorch b": 5, "PyTorch c": 7, "librosa": 90}
    entrants = {by: Contestant(lambda: (), second_s=s) for by, s in times.items()}
    assert front_end_contest._not_worth_a_turn(entrants) == {"PyTorch c": 7}


def result(kind="features"):
    def took(*wall_s):
        return Contestant(lambda: (), wall_s=list(wall_s))

    return Result(
        "mfbe",
        MelEnergies(),
        kind,
        10,
        {"PyTorch a": {"features": (0.5, 1e-6)}, "librosa": {"features": (0.5, 1e-5)}},
        {
            "ours": took(0.5, 1.0, 2.0),
            "ours, 8 at once": took(0.25, 0.8, 0.8),
            "PyTorch a": took(2.0, 2.0, 2.0),
            "librosa": took(3.0, 3.0, 1.0),
        },
        {},
        {
            "transform XLA": took(0.25),
            "transform SciPy": took(0.125),
            "product XLA": took(0.0625),
            "product NumPy": took(1.0),
        },
    )


def test_a_row_says_what_the_turns_took():
    row = dict(zip(front_end._HEADER, front_end._row(result()), strict=True))
    assert row["clips/s"] == "10"  # the median turn
    assert row["s of audio/s"] == "16"  # clips of 1.6125 s
    assert row["8 at once, clips/s"] == "12"
    assert row["PyTorch, clips/s"] == "5"
    assert row["librosa, clips/s"] == "3"
    assert row["python_speech_features, clips/s"] == "–"
    assert row["best rival"] == "PyTorch a"
    assert row["times the best rival"] == "2.00"
    assert row["turn by turn"] == "1.00 to 4.00"
    assert row["by fastest turns"] == "2.00"  # librosa's 1.0 over our 0.5
    assert row["8 at once, times"] == "2.50"
    assert row["differ by"] == "1e-05"
    assert row["of the bare operations' speed"] == "0.19"  # 0.125 + 0.0625


def test_a_gradient_needs_the_bare_operations_twice():
    assert result("gradient").least_s == 2 * result().least_s


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
    table = (tmp_path / "table.md").read_text()
    assert table.count(f"| {small} |") == 4
    found = json.loads((tmp_path / "front_end.json").read_text())
    assert [(r["name"], r["pass"], r["clips"]) for r in found["results"]] == [
        (name, kind, clips)
        for name in (small, "magnitude")
        for clips in (1, 2)
        for kind in ("features", "gradient")
    ]
    first = found["results"][0]
    assert first["representation"]["num_bands"] == 20
    assert set(first["entrants"]) == {"ours", "librosa"}
    assert set(found["results"][1]["entrants"]) == {"ours"}
    assert all(len(one["wall_s"]) == 2 for one in first["entrants"].values())
    assert first["difference"]["librosa"]["features"][1] < 1e-5
    assert {name.split()[0] for name in first["ceiling"]} == {"transform", "product"}
    assert (tmp_path / "front_end.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("flag", "value", "message"),
    [
        ("rivals", ["essentia"], "choose among torch, librosa"),
        ("rivals", ["torch"], "pip install 'advjax"),
        ("representation", ["waveform"], "unknown choice"),
        ("clips", ["0"], "whole numbers"),
    ],
)
def test_what_cannot_be_timed_is_refused(monkeypatch, flag, value, message):
    monkeypatch.setitem(sys.modules, "torch", None)
    with (
        flagsaver.flagsaver(**{flag: value}),
        pytest.raises(ValueError, match=message),
    ):
        front_end.main()
