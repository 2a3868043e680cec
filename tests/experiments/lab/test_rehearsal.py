"""Rows of a rehearsal, and its table."""

import functools
import json

import jax
import pytest

from advjax import smoothing
from advjax.defences import DEFENCES
from advjax.runtime import targets
from advjax.runtime.parallel import data_mesh
from advjax.runtime.topologies import TARGETS
from experiments.lab import defences, rehearsal, rehearsal_report
from experiments.lab.rehearsal_programs import PROGRAMS

ROW = {
    "target": "h100", "program": "certify-mfbe-bfloat16-fixed", "precision": "bfloat16",
    "tile": 500, "asked": 1000, "seconds": 4.9, "memory_bytes": 2**30,
    "device_bytes": 80e9, "unit": "votes", "units": 500, "flops": 4.8e12, "bytes": 20e9,
    "least_bytes": 9e9, "per_s": 162198.3, "bound": "FLOPs", "one_by_one_per_s": 105e3,
    "products": {"convolution __cudnn$convForward bfloat16": 28},
    "passes": [["multiply, select", 24, 8.6e9]],
}  # fmt: skip
LATE = {
    "target": "h100", "program": "certify-mfbe-float32-fixed",
    "why": "not ended in 10 minutes", "minutes": 10.0, "seconds": 600.0,
}  # fmt: skip


def test_names_of_a_target_match_patterns():
    names = rehearsal.names_for("h100", ["certify-mfbe-*"])
    assert len(names) == 6 and all(name in PROGRAMS for name in names)
    on_tpu = rehearsal.names_for("v5e-4", ["certify-mfbe-*"])
    assert on_tpu == ["certify-mfbe-float32-fixed", "certify-mfbe-bfloat16-fixed"]
    with pytest.raises(ValueError, match="--programs=nothing: no program"):
        rehearsal.names_for("h100", ["nothing"])
    with pytest.raises(ValueError, match="--target=h200: no such machine"):
        rehearsal.names_for("h200", ["*"])


@pytest.mark.parametrize("defence", sorted(DEFENCES.keys() - {"plain"}))
def test_every_defence_has_the_options_that_it_needs(defence):
    build = PROGRAMS[f"train-rescnn-{defence}-float32"].build
    _, text, _ = build.args
    assert text.partition("(")[0] == defence
    noise = smoothing.gaussian(0.25)
    assert callable(defences.gradients(text, sigma=0.25, noise=noise))


def test_a_start_compiles_what_has_no_row(tmp_path, monkeypatch):
    monkeypatch.setattr(rehearsal.failures, "need", lambda *_: None)
    asked, rest = [], {k: v for k, v in ROW.items() if k not in ("target", "program")}

    def compiled(file, minutes):
        asked.append((file.stem, minutes))
        return rest

    monkeypatch.setattr(rehearsal, "_in_a_process", compiled)
    names = [ROW["program"], LATE["program"]]
    start = functools.partial(
        rehearsal.rehearse, "h100", names, tmp_path, origin={"git": "abc"}
    )
    (tmp_path / "h100").mkdir()
    (tmp_path / "h100" / f"{LATE['program']}.json").write_text(json.dumps(LATE))
    start(minutes=5)
    start(minutes=10)
    assert asked == [(ROW["program"], 5)]
    # A longer limit may be enough for what did not end.
    start(minutes=30)
    assert asked[1:] == [(LATE["program"], 30)]
    assert [row["program"] for row in rehearsal.rows(tmp_path)] == sorted(
        names, key=list(PROGRAMS).index
    )


def test_a_process_that_fails_or_does_not_end_is_a_row(tmp_path, monkeypatch):
    (tmp_path / "h100").mkdir()
    file = tmp_path / "h100" / "certify-mfbe-float32-fixed.json"
    late = rehearsal._in_a_process(file, 0.0001)
    assert late["why"] == "not ended in 0.0001 minutes"
    monkeypatch.setattr(rehearsal.sys, "executable", "false")
    why = rehearsal._in_a_process(file, 1)["why"]
    assert why == "ended with exit code 1: see certify-mfbe-float32-fixed.log"


def test_the_report_has_a_row_for_each_program_and_its_passes(tmp_path):
    shown = rehearsal_report.report([ROW, LATE], tmp_path, "advjax rehearse")
    assert "162,198" in shown and "105,000" in shown
    text = (tmp_path / "report.md").read_text("utf-8")
    assert "not ended in 10 minutes" in text and "500 of 1000" in text
    assert f"h100: {TARGETS['h100'].name}" in text
    assert "28 convolution: __cudnn$convForward, bfloat16" in text
    assert "multiply, select" in text and "43.0%" in text
    assert (tmp_path / "tables").is_dir()


ONE_OF_EACH = (
    "certify-mfbe-bfloat16-fixed",
    "certify-mfbe-bfloat16-sequential",
    "attack-pgd-mfbe-bfloat16",
    "train-rescnn-plain-bfloat16",
    "features-mfbe",
    "surf_svm-autoencoder",
    "study-adversarial_training",
)


@pytest.mark.slow
@pytest.mark.parametrize("num_devices", [1, 2])
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_a_program_lowers_with_shapes_alone(name, num_devices):
    mesh = data_mesh(jax.devices()[:num_devices])
    with targets.compiling_for("gpu"):
        function, arguments = PROGRAMS[name].build(mesh, 4)
        text = function.lower(*arguments).as_text()
    assert "func.func public @main" in text
    assert ("bf16" in text) == ("bfloat16" in name)
