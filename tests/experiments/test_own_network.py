"""Networks of one's own in the programs: certified and attacked like trained ones."""

import dataclasses
import importlib.util
import json
import re
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import evaluation
from advjax.runs.row_types import ATTACK_ROWS, AUDIBILITY, CERTIFICATES
from experiments.lab import attack_requests, earlier_runs
from experiments.lab.task import Task

CORPUS = "voices(num_speakers=3)"
LABELS = ["speaker-00", "speaker-01", "speaker-02"]

OF_JAX = """
import jax
import jax.numpy as jnp

def make():
    def levels(w, x):
        frames = jnp.log(jnp.abs(jnp.fft.rfft(x.reshape(10, -1))) + 1e-3)
        return frames.mean(0)[1:31] @ w

    w = jax.random.normal(jax.random.key(0), (30, 4))
    labels = ["other", "speaker-02", "speaker-01", "speaker-00"]
    network = jax.tree_util.Partial(levels, w)
    return {"module": network, "num_samples": 1600, "labels": labels}
"""


@pytest.fixture
def of_jax(tmp_path):
    """A task of a function of JAX that knows one class more than the clips."""
    (tmp_path / "mine.py").write_text(OF_JAX, encoding="utf-8")
    return Task(
        home=tmp_path / "home",
        corpus=CORPUS,
        at=None,
        sigma=0.01,
        crops={"train": 1, "validation": 1, "test": 3},
        classifier_folder=f"module:{tmp_path}/mine.py:make",
    )


def test_a_draft_takes_the_network_s_input_and_the_clips_classes(of_jax):
    draft = of_jax.draft()
    assert draft.stage.name == draft.task.at == "waveform"
    assert draft.stage.num_samples == 1600
    assert draft.given.labels == (*LABELS, "other")
    assert draft.network.endswith("mine.py:make, unknown training")
    assert not draft.given.digest().isspace()


def test_a_corpus_with_another_class_is_refused_before_any_work(of_jax):
    more = dataclasses.replace(of_jax, corpus="voices(num_speakers=4)")
    with pytest.raises(ValueError, match="mine.py:make has no class 'speaker-03'"):
        more.draft()
    assert not of_jax.home.exists()


def test_an_attack_with_gradients_on_a_black_box_is_refused(of_jax):
    draft = of_jax.draft()
    black = dataclasses.replace(draft, given=draft.given.replace(has_gradients=False))
    with pytest.raises(ValueError, match="--attack=pgd: .*a black box.*nes"):
        attack_requests.build(black, "pgd")
    assert attack_requests.build(black, "nes").black_box
    assert not attack_requests.build(draft, "pgd").black_box


def test_an_attack_from_clips_reaches_for_classes_that_clips_have(of_jax):
    draft = of_jax.draft()
    built = attack_requests.build(draft, "partial_information")
    assert "starts=float32[3, 1600]" in repr(built)
    x = np.zeros(1600, np.float32)
    clips = [evaluation.Point(n, f"{n}", x, n % 3, 1.0) for n in range(30)]
    system = types.SimpleNamespace(
        classifier=draft.given, data=types.SimpleNamespace(labels=tuple(LABELS))
    )
    logits_fn = jax.tree_util.Partial(lambda x: jnp.array([3.0, 2, 1, 0]) + x[:1])

    def reached(attack, target):
        request = attack_requests.AttackRequest(attack, target=target)
        return set(attack_requests.targets(request, system, logits_fn, clips))

    assert reached("pgd(targeted=True)", "random") == {0, 1, 2, 3}
    assert reached("partial_information", "random") == {0, 1, 2}
    assert reached("pgd(targeted=True)", "least_likely") == {3}
    assert reached("partial_information", "least_likely") == {2}
    assert reached("pgd(targeted=True)", "other") == {3}
    assert attack_requests.reachable(draft, "pgd(targeted=True)")[3:] == ("other",)
    assert attack_requests.reachable(draft, "partial_information") == tuple(LABELS)
    with pytest.raises(ValueError, match="no target 'other'"):
        reached("partial_information", "other")
    alone = dataclasses.replace(draft.source, sizes={"test": 3})
    with pytest.raises(ValueError, match="partial_information starts from a training"):
        attack_requests.build(
            dataclasses.replace(draft, source=alone), "partial_information"
        )


@pytest.mark.slow
def test_a_function_of_jax_is_certified_attacked_and_found_again(start, tmp_path):
    (tmp_path / "mine.py").write_text(OF_JAX, encoding="utf-8")
    given = (f"--classifier=module:{tmp_path}/mine.py:make", f"--corpus={CORPUS}")
    given += (f"--home={tmp_path}/home", "--num_points=6")
    certified, attacked = tmp_path / "certified", tmp_path / "attacked"
    votes = ("--sigma=0.01", "--num_estimation=100")
    code, said = start("certify", *given, *votes, f"--workdir={certified}")
    assert code == 0, said
    assert len(CERTIFICATES.read(certified)) == 6
    run = (f"--run={certified}", "--budget=20dB", "--num_points=6")
    code, said = start("attack", *run, f"--workdir={attacked}")
    assert code == 0, said
    described = json.loads((attacked / "run.json").read_text("utf-8"))
    assert described["settings"]["perturbation_enters_at"] == "waveform"
    again = earlier_runs.read(attacked)
    assert again.values["classifier"] == f"module:{tmp_path}/mine.py:make"
    targets = (f"--runs={attacked}", f"--classifiers=module:{tmp_path}/mine.py:make")
    code, said = start("transfer", *targets, f"--out={tmp_path}/transfer")
    assert code == 0, said
    (tmp_path / "mine.py").unlink()
    code, said = start("attack", *run)
    assert code == 1 and "the network of the run" in said and "is gone" in said


needs_torch = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "torchax", "onnxruntime", "onnx"))),
    reason="PyTorch, torchax and ONNX Runtime are not installed",
)

OF_TORCH = """
import json
import numpy as np
import torch
from tests.interop import networks

LABELS = ["speaker-02", "speaker-01", "speaker-00"]

def make():
    network = networks.network(networks.{front})
    network.load_state_dict(torch.load("{folder}/mine.pt", weights_only=True))
    return {{"module": network.eval(), "num_samples": 8000, "labels": LABELS}}

def train():
    from advjax.signal.samples import from_int16
    from data_prep.corpora import voices
    from data_prep.crops import crops
    found = list(crops(voices(num_speakers=3), "train", policy="random", per_class=40,
                       num_samples=8000))
    x = torch.from_numpy(from_int16(np.stack([each.audio for each in found])))
    y = torch.tensor([2 - each.label for each in found])
    network = networks.network(networks.{front}).train()
    optimiser = torch.optim.Adam(network.blocks.parameters(), lr=2e-3)
    for _ in range(40):
        batch = torch.randint(len(x), (24,))
        noisy = x[batch] + 0.01 * torch.randn(24, 8000)
        loss = torch.nn.functional.cross_entropy(network(noisy), y[batch])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    torch.save(network.state_dict(), "{folder}/mine.pt")
    assert sum(each.numel() for each in network.parameters()) > 100_000

def export():
    import onnx
    path = "{folder}/mine.onnx"
    torch.onnx.export(make()["module"], (torch.zeros(2, 8000),), path, dynamo=False,
                      input_names=["x"], dynamic_axes={{"x": {{0: "batch"}}}})
    model = onnx.load(path)
    onnx.helper.set_model_props(model, {{"labels": json.dumps(LABELS)}})
    onnx.save(model, path)
"""


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("front", ["ConvFront", "StftFront"])
def test_a_pytorch_network_is_certified_and_attacked(start, tmp_path, front):
    path = tmp_path / "mine.py"
    path.write_text(OF_TORCH.format(front=front, folder=tmp_path), encoding="utf-8")
    spec = importlib.util.spec_from_file_location("mine_of_test", path)
    mine = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(mine)
    mine.train()
    given = (f"--corpus={CORPUS}", f"--home={tmp_path}/home", "--num_points=9")
    votes = ("--sigma=0.005", "--num_estimation=200")
    torch = f"--classifier=torch:{path}:make"
    code, said = start("certify", *given, *votes, torch, f"--workdir={tmp_path}/torch")
    assert code == 0, said
    assert float(re.search(r"JAX and PyTorch differ by (\S+)", said)[1]) < 1e-5
    ours = CERTIFICATES.read(tmp_path / "torch")
    assert ours.correct.mean() > 0.5
    attack = (torch, "--budget=10dB", f"--workdir={tmp_path}/attack", "--audible")
    code, said = start("attack", *given, *attack)
    assert code == 0, said
    assert ATTACK_ROWS.read(tmp_path / "attack").success.any()
    assert "successes still fool the classifier as waveforms" in said
    code, said = start("audibility", f"--run={tmp_path}/torch")
    assert code == 0, said
    assert "of 9 clips a perturbation inside the certified radius" in said
    assert len(AUDIBILITY.read(tmp_path / "torch" / "audibility.tsv")) == 9
    if front == "ConvFront":
        mine.export()
    elif importlib.util.find_spec("jax2onnx"):
        # PyTorch's own exporter has no form of complex numbers.
        code, said = start("export", torch, f"--file={tmp_path}/mine.onnx")
        assert code == 0, said
        assert float(re.search(r"Logits differ by (\S+)", said)[1]) < 1e-4
    else:
        return
    onnx = f"--classifier=onnx:{tmp_path}/mine.onnx"
    code, said = start("certify", *given, *votes, onnx, f"--workdir={tmp_path}/onnx")
    assert code == 0, said
    theirs = CERTIFICATES.read(tmp_path / "onnx")
    assert (ours.predict == theirs.predict).all()
    np.testing.assert_allclose(ours.p_lower, theirs.p_lower, atol=0.03)
    code, said = start("attack", *given, onnx, "--budget=10dB")
    assert code == 1 and "is a black box" in said
