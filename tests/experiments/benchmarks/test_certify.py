import json

import jax
import numpy as np
import pytest

from advjax.layers import blocks
from experiments.benchmarks import certify, harness, problems, results
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import pytorch_steps
from experiments.benchmarks.work import Turn


@pytest.mark.slow
def test_operations_are_those_that_the_compiler_counts(monkeypatch):
    classifier = problems.fresh_rescnn(16)
    # The direct convolutions of a gradient's forward pass.
    monkeypatch.setattr(blocks, "conv2d", blocks._direct)
    (clip,) = problems.noise(1, seed=0)
    program = jax.jit(lambda x: classifier.logits(x)).lower(clip)
    counted = program.compile().cost_analysis()["flops"]
    # It leaves out taps on the padding, and counts sums and norms.
    assert certify.flops(16) == pytest.approx(counted, rel=0.12)
    assert certify.flops(16) == 334_850_048


def test_our_side_counts_what_it_is_asked_for(monkeypatch):
    from advjax import smoothing

    asked = []
    certify_each = smoothing.certify_each

    def note(logits_fn, examples, **options):
        examples = list(examples)
        votes = options["plan"].num_selection + options["plan"].num_estimation
        asked.append((len(examples), votes))
        return certify_each(logits_fn, examples, **options)

    monkeypatch.setattr(smoothing, "certify_each", note)
    work = certify.our_votes(
        width=1, sigma=0.25, tile=5, devices=1, precision="float32", cache=""
    )
    work.run(150, clips=3)
    assert asked[-1] == (3, 50)
    logits = np.asarray(work.facts["logits"])
    assert logits.shape == (4, 10) and (logits.std(axis=0) > 0).all()
    json.dumps(work.facts)


def test_pytorchs_sides_are_the_same_network():
    pytest.importorskip("torch")
    options = {"width": 1, "sigma": 0.25, "batch": 4, "threads": 1}
    logits_fn = problems.fresh_rescnn(1).logits_fn("mfbe")
    expected = jax.jit(jax.vmap(logits_fn))(problems.parity_inputs(0.25))
    for form, layout in [("published", "contiguous"), ("folded", "channels_last")]:
        work = pytorch_steps.votes(
            form=form, layout=layout, precision="float32", **options
        )
        np.testing.assert_allclose(work.facts["logits"], expected, atol=1e-4)
        work.run(8)


def test_the_ceiling_is_measured_in_a_process_of_its_own():
    contestant = harness.Contestant(
        "product", "ceiling", certify.matrix_product, {"precision": "float32"}, 1, 1
    )
    with harness.Entrant(contestant) as entrant:
        assert entrant.facts["flops"] in (2 * 2048**3, 2 * 8192**3)
        turn = entrant.run(2)
    assert turn.units == 2 and turn.wall_s > 0 and turn.peak_bytes > 2**24


def a_result(name, kind, rates, **facts):
    turns = tuple(Turn(100, 100 / rate, 100 / rate, 2**30) for rate in rates)
    facts = {"disagreement": 0.0} | facts
    return Result(name, kind, Turn(10, 1.0, 1.0, 2**30), turns, facts)


def test_the_report_compares_the_best_of_each_side_round_by_round(tmp_path):
    pytest.importorskip("matplotlib")
    scaling = [
        Turn(100 * m, 0.01 * m**1.02, 0.0, 2**30)._asdict() for m in (1, 3, 10, 30)
    ]
    found = (
        a_result("product", "ceiling", [10, 10, 10], flops=10**10),
        a_result("ours, slow", "ours", [20, 20, 20]),
        a_result("ours, fast", "ours", [60, 66, 90]),
        a_result("torch, slow", "torch", [10, 10, 10]),
        a_result("torch, fast", "torch", [50, 60, 60]),
        a_result("loop", "published", [30, 30, 30]),
    )
    facts = {
        "width": 16,
        "flops": 10**9,
        "scaling": {"name": "ours, fast", "unit": 100, "n": scaling, "clips": scaling},
    }
    one = Contest("ResCNN of width 16", "votes", found, facts)
    certify.report([one], results.setting(device="1 x cpu"), tmp_path)
    text = (tmp_path / "certify.md").read_text()
    # Rounds 60/50, 66/60, 90/60.
    assert "1.20 times the best PyTorch (95 % interval 1.10 to 1.50; " in text
    assert "1.10 to 1.50 in single rounds)" in text
    assert "2.20 times the published" in text
    row = next(line for line in text.splitlines() if line.startswith("| ours, fast"))
    # 66 votes of 1 GFLOP a second, of 100 GFLOP/s; 10,000 votes take 151.5 s.
    assert row.startswith("| ours, fast | 66 | 1.00 | 1.0 | 0.66 | 152 |")
    assert "votes of one clip 1.020, clips 1.020" in text
    for name in ("certify.png", "scaling.png"):
        assert (tmp_path / name).read_bytes()[:4] == b"\x89PNG"
    ((loaded,), _) = results.load(tmp_path / "certify.json")
    assert loaded == one


def test_the_slope_is_the_exponent():
    points = [(n, 3.0 * n**1.5) for n in (1, 3, 10, 30)]
    assert certify.slope(points) == pytest.approx(1.5)
