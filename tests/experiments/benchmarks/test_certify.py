import json
import subprocess
import sys

import jax
import numpy as np
import pytest

from advjax.layers import blocks
from experiments.benchmarks import certify_report, certify_sides


@pytest.mark.slow
def test_operations_are_those_that_the_compiler_counts(monkeypatch):
    classifier = certify_sides.network(16)
    # The direct convolutions of a gradient's forward pass.
    monkeypatch.setattr(blocks, "conv2d", blocks._direct)
    program = jax.jit(lambda x: classifier.logits(x)).lower(certify_sides.a_clip())
    counted = program.compile().cost_analysis()["flops"]
    # It leaves out taps on the padding, and counts sums and norms.
    assert certify_sides.flops(16) == pytest.approx(counted, rel=0.12)
    assert certify_sides.flops(16) == 334_850_048


def test_our_side_counts_what_it_is_asked_for(monkeypatch):
    from advjax import smoothing

    asked = []
    certify_each = smoothing.certify_each

    def note(logits_fn, examples, **options):
        examples = list(examples)
        votes = options["num_selection"] + options["num_estimation"]
        asked.append((len(examples), votes))
        return certify_each(logits_fn, examples, **options)

    monkeypatch.setattr(smoothing, "certify_each", note)
    side = certify_sides.ours(width=1, tile=5, devices=1, precision="float32", cache="")
    side.count(3, 50)
    assert asked[-1] == (3, 50)
    logits = np.asarray(side.tells["logits"])
    assert logits.shape == (4, 10) and (logits.std(axis=0) > 0).all()
    json.dumps(side.tells)


def test_pytorchs_sides_are_the_same_network():
    pytest.importorskip("torch")
    options = {"width": 1, "batch": 4, "threads": 1, "precision": "float32"}
    expected = certify_sides.rows(
        jax.vmap(certify_sides.network(1).logits)(certify_sides.parity_inputs())
    )
    for form, layout in [("published", "contiguous"), ("folded", "channels_last")]:
        side = certify_sides.pytorch(form=form, layout=layout, **options)
        np.testing.assert_allclose(side.tells["logits"], expected, atol=1e-4)
        side.count(2, 8)


def test_a_side_answers_line_by_line():
    spec = {"side": "matmul", "precision": "float32"}
    program = "from experiments.benchmarks import certify_sides; certify_sides.main()"
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(spec)],
        input='{"clips": 1, "votes": 2}\n', capture_output=True, text=True, check=True,
    )  # fmt: skip
    tells, turn = map(json.loads, done.stdout.splitlines())
    assert tells["flops"] == 2 * 2048**3 or tells["backend"] != "cpu"
    assert turn["wall_s"] > 0 and turn["peak_bytes"] > 2**24


def a_contestant(name, kind, rates, **tells):
    turns = [
        {"votes": 100, "wall_s": 100 / rate, "votes_per_s": rate, "peak_bytes": 2**30}
        for rate in rates
    ]
    return {
        "name": name, "kind": kind, "batch": 10, "spec": {"devices": 1},
        "compile_s": 1.0, "tells": {"disagreement": 0.0} | tells, "turns": turns,
    }  # fmt: skip


def test_the_report_compares_the_best_of_each_side_round_by_round(tmp_path):
    pytest.importorskip("matplotlib")
    scaling = [
        {"votes": 100 * m, "wall_s": 0.01 * m**1.02, "peak_bytes": 2**30}
        for m in (1, 3, 10, 30)
    ]
    measured = {
        "flops": 10**9,
        "contestants": [
            a_contestant("product", "ceiling", [10, 10, 10], flops=10**10),
            a_contestant("ours, slow", "ours", [20, 20, 20]),
            a_contestant("ours, fast", "ours", [60, 66, 90]),
            a_contestant("torch, slow", "torch", [10, 10, 10]),
            a_contestant("torch, fast", "torch", [50, 60, 60]),
            a_contestant("loop", "published", [30, 30, 30]),
        ],
        "scaling": {"name": "ours, fast", "unit": 100, "n": scaling, "clips": scaling},
    }
    found = {"machine": "a machine", "precision": "float32", "widths": {"16": measured}}
    text = certify_report.write(found, tmp_path)
    assert text == (tmp_path / "certify.md").read_text()
    # Rounds 60/50, 66/60, 90/60.
    assert "1.20 times the best PyTorch (1.10 to 1.50 in single rounds)" in text
    assert "2.20 times the published" in text
    # 66 votes of 1 GFLOP a second, of 100 GFLOP/s; 10,000 votes take 151.5 s.
    assert "| ours, fast | 66 | 0.66 | 152 |" in text
    assert "votes of one clip 1.020, clips 1.020" in text
    assert (tmp_path / "scaling.png").read_bytes()[:4] == b"\x89PNG"


def test_the_slope_is_the_exponent():
    points = [(n, 3.0 * n**1.5) for n in (1, 3, 10, 30)]
    assert certify_report.slope(points) == pytest.approx(1.5)
