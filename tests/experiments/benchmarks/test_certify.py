import functools
import json

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.layers import blocks, convolution
from advjax.runtime import targets
from experiments.benchmarks import certify, harness, our_votes, problems
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import pytorch_steps
from experiments.benchmarks.work import Turn, measure, process_cpu_s, process_peak_bytes

FORMS = ("folded", "compiled")


@pytest.mark.slow
def test_operations_are_those_that_the_compiler_counts(monkeypatch):
    classifier = problems.fresh_rescnn(16)

    def direct(x, kernel, stride, padding):
        ends = "SAME" if padding is None else [(padding, padding)] * 2
        return convolution.direct(x, kernel, stride, ends)

    # The direct convolutions of a gradient's forward pass.
    monkeypatch.setattr(blocks, "conv2d", direct)
    (clip,) = problems.noise(1, seed=0)
    program = jax.jit(lambda x: classifier.logits(x)).lower(clip)
    counted = program.compile().cost_analysis()["flops"]
    # It leaves out taps on the padding, and counts sums and norms.
    assert certify.flops(16) == pytest.approx(counted, rel=0.12)
    assert certify.flops(16) == 334_850_048


@pytest.mark.slow
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
    work = our_votes.votes(width=1, tile=5, precision="float32", cache="")
    work.run(150, clips=3)
    assert asked[-1] == (3, 50)
    logits = np.asarray(work.facts["logits"])
    assert logits.shape == (4, 10) and (logits.std(axis=0) > 0).all()
    json.dumps(work.facts)


@pytest.mark.slow
def test_time_and_memory_of_our_processes_count():
    work = our_votes.votes(width=1, tile=5, precision="float32", cache="", workers=2)
    measure(work, 20, {})
    # Each has imported JAX.
    assert work.cpu_s() > process_cpu_s() + 1
    assert work.peak_bytes() > process_peak_bytes() + 2**27


@pytest.mark.parametrize("cores", [1, 2])
def test_ours_has_a_process_a_core(monkeypatch, cores):
    monkeypatch.setattr(certify.parallel, "num_cores", lambda: cores)
    ours = [one for one in certify.contestants(16, on_cpu=True) if one.kind == "ours"]
    workers = {one.options.get("workers", 0) for one in ours}
    assert workers == ({0, 2} if cores == 2 else {0})
    assert len({one.name for one in ours}) == len(ours)


def test_ours_can_run_as_on_another_cpu(monkeypatch):
    monkeypatch.setattr(certify.parallel, "num_cores", lambda: 2)
    here = list(certify.contestants(16, on_cpu=True))
    with flagsaver.flagsaver(convolutions="avx2"):
        there = list(certify.contestants(16, on_cpu=True))
    more = [one for one in there if one.name not in {each.name for each in here}]
    assert [one.options["convolutions"] for one in more] == ["avx2"] * len(more)
    # They are not ours on this machine, which its best is chosen from.
    assert more and all(one.kind != "ours" for one in more)


@pytest.mark.parametrize("cores", [1, 2])
def test_ours_in_openvino_is_a_kind_of_its_own(monkeypatch, cores):
    monkeypatch.setattr(certify.parallel, "num_cores", lambda: cores)
    found = []
    for spec in (None, "found"):
        monkeypatch.setattr(
            certify.importlib.util, "find_spec", lambda name, spec=spec: spec
        )
        found.append(list(certify.contestants(16, on_cpu=True)))
    more = {each.name: each for each in found[1]}
    for each in found[0]:
        assert more.pop(each.name) == each
    kinds = {(each.kind, each.options["precision"]) for each in more.values()}
    assert kinds == {
        ("ours, in OpenVINO", "float32 in OpenVINO"),
        ("ours in bfloat16, in OpenVINO", "bfloat16 in OpenVINO"),
    }
    assert len(more) == 2 * cores


@pytest.mark.slow
def test_ours_in_openvino_has_the_same_logits():
    pytest.importorskip("openvino")
    options = {"width": 1, "tile": 5, "cache": "", "num_compared": 20}
    work = our_votes.votes(precision="float32 in OpenVINO", **options)
    logits, ours = (np.asarray(work.facts[k]) for k in ("rounded", "logits"))
    assert 0 < np.abs(logits - ours).max() < 1e-4 * np.abs(ours).max()
    work.run(80)


@pytest.mark.slow
def test_ways_of_another_cpu_give_the_same_logits():
    work = functools.partial(
        our_votes.votes, width=16, tile=5, precision="float32", cache=""
    )
    with our_votes._lasting:
        here, there = (work(convolutions=kind).facts["logits"] for kind in ("", "avx2"))
        assert targets.processor() == "avx2"
    np.testing.assert_allclose(there, here, atol=1e-4 * np.abs(here).max())


def test_pytorchs_sides_are_the_same_network():
    pytest.importorskip("torch")
    options = {"width": 1, "num_copies": 4, "threads": 1}
    logits_fn = problems.fresh_rescnn(1).logits_fn("mfbe")
    expected = jax.jit(jax.vmap(logits_fn))(problems.parity_inputs("mfbe"))
    for form, layout in [
        ("published", "contiguous_format"),
        ("folded", "channels_last"),
    ]:
        work = pytorch_steps.votes(
            form=form, layout=layout, precision="float32", **options
        )
        np.testing.assert_allclose(work.facts["logits"], expected, atol=1e-4)
        work.run(8)


@pytest.mark.parametrize("cores", [1, 2])
def test_pytorch_has_a_process_a_core_and_its_own_bfloat16(monkeypatch, cores):
    monkeypatch.setattr(certify.parallel, "num_cores", lambda: cores)
    with flagsaver.flagsaver(batches=["16", "50"]):
        every = list(certify.contestants(16, on_cpu=True))
        on_gpu = list(certify.contestants(16, on_cpu=False))
    forms = {
        (each.kind, each.options["form"], each.options["precision"])
        for each in every
        if each.num_processes == cores and each.options.get("threads") == 1
    }
    rounded = {("PyTorch in bfloat16", form, "bfloat16") for form in FORMS}
    exact = {("torch", form, "float32") for form in FORMS}
    assert forms >= (rounded | exact if cores > 1 else rounded)
    assert len({each.name for each in every}) == len(every)
    assert {each.kind for each in on_gpu} == {"ceiling", "ours", "published", "torch"}
    assert {each.num_processes for each in on_gpu} == {1}


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


def test_the_report_compares_the_best_of_each_side_round_by_round():
    found = (
        a_result("product", "ceiling", [10, 10, 10], flops=1000 * certify.flops(16)),
        a_result("ours, slow", "ours", [20, 20, 20]),
        a_result("ours, fast", "ours", [60, 66, 90]),
        a_result("torch, slow", "torch", [10, 10, 10]),
        a_result("torch, fast", "torch", [50, 60, 60]),
        a_result("loop", "published", [30, 30, 30]),
    )
    one = certify.votes_contest("ResCNN of width 16", 16, found)
    turns = {
        m: tuple(Turn(100 * m, 0.01 * m**1.02, 0.0, m * 2**20) for _ in range(3))
        for m in certify.MULTIPLES
    }
    sizes = (
        Result(f"{kind}, {m}", kind, own[0], own)
        for kind in ("votes of one clip", "clips")
        for m, own in turns.items()
    )
    growth = Contest("growth, ours, fast", "votes", tuple(sizes))
    table = certify.summary([one], [growth])
    rows = {row[1]: dict(zip(table.header, row, strict=True)) for row in table.rows}
    row = rows["ours, fast"]
    # Rounds 60/50, 66/60, 90/60.
    assert row["times the best PyTorch"] == "1.20 [1.10, 1.50]"
    assert row["times the published loop"].startswith("2.20 [")
    # 66 of the 10,000 votes a second that 10 products of 1,000 votes are worth.
    assert row["votes/s"] == "66" and row["of the ceiling"] == "0.01"
    assert row["s a clip, n=10,000"] == "151.5" and row["memory, GiB"] == "1.00"
    assert rows["clips, 30"]["times the best PyTorch"] == "–"
    (note,) = (note for note in table.notes if "exponents" in note)
    assert "1.020 (votes of one clip), 1.020 (clips); peak memory 1 MiB" in note
    assert "30 MiB after all" in note
