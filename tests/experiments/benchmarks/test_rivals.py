"""PyTorch's rivals compute on the device that JAX computes on.

PyTorch's device "meta", which has shapes and no values, stands for a GPU: most
operations on tensors of two devices raise there, as they do on a GPU.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.classifier import Classifier, initialise
from advjax.models import ResNet18
from advjax.representations import MelEnergies
from advjax.runtime import targets
from advjax.types import Batch
from experiments.benchmarks import problems
from experiments.benchmarks.rivals import front_ends, pytorch, pytorch_steps
from experiments.benchmarks.rivals.attack_libraries import Terms, build

torch = pytest.importorskip("torch")


@pytest.fixture
def on_gpu(monkeypatch):
    """Rivals take another device for JAX's."""
    monkeypatch.setattr(pytorch, "device", lambda: "meta")
    monkeypatch.setattr(pytorch, "wait", lambda: None)


@pytest.fixture(scope="module")
def classifier():
    return problems.fresh_rescnn(1, dropout=0.0)


def test_the_device_is_that_of_jax():
    assert pytorch.device() == "cpu"
    with targets.compiling_for("gpu"):
        assert pytorch.device() == "cuda"


def test_a_network_an_attack_and_a_front_end_are_on_the_device(classifier, on_gpu):
    network = pytorch.twin(classifier)
    assert {each.device.type for each in network.parameters()} == {"meta"}
    x = pytorch.tensor(problems.noise(2, 0), channels_first=True)
    y = pytorch.tensor(np.zeros(2, np.int64))
    assert network(x).device.type == "meta"
    x_adv = build("torch", "pgd", network, Terms(pgd_steps=2), 0.05)(x, y)
    assert x_adv.device.type == "meta"
    waves = pytorch.tensor(problems.noisy_copies("waveform", 2, 0))
    features = front_ends.torch_features(MelEnergies(), "waveform")(waves)
    assert features.device.type == "meta" and features.shape == (2, 1, 160, 64)


def test_both_passes_of_the_front_end_are_on_the_device(on_gpu):
    representation = MelEnergies()
    clips = problems.noisy_copies("waveform", 2, 0)
    cotangent = np.ones((2, 160, 64), np.float32)
    for call in front_ends.torch_passes(representation, clips, cotangent).values():
        assert {each.device.type for each in call()} == {"meta"}


def test_a_training_step_is_on_the_device(classifier, on_gpu, monkeypatch):
    y = np.zeros(2, np.int32)
    step = pytorch_steps.training_step(
        classifier, Batch(problems.noise(2, 0), y),
        layout="channels_last", eps=0.05, alpha=0.5, rate=0.1,
    )  # fmt: skip
    # The loss is the only value that leaves the device.
    losses = []
    monkeypatch.setattr(torch.Tensor, "__float__", lambda each: losses.append(each))
    with pytest.raises(TypeError, match="float"):
        step()
    assert [each.device.type for each in losses] == ["meta"]


@pytest.mark.slow
def test_the_twin_of_resnet18_is_the_same_network():
    module = ResNet18(num_classes=3, width=2, resize=None)
    variables = initialise(module, MelEnergies(), jax.random.key(0))
    same = Classifier(variables, module, MelEnergies(), ("a", "b", "c"))
    x = jnp.asarray(problems.noise(2, 0))
    assert 0 < pytorch.parity(same, x, 1e-4) < 1e-4
    with pytest.raises(ValueError, match=r"logits of 'PyTorch' and 'JAX' differ"):
        pytorch.parity(same, x, 1e-12)


@pytest.mark.slow
def test_both_stages_are_the_same_network_in_pytorch(classifier):
    options = {"width": 1, "num_copies": 4, "threads": 1, "layout": "channels_last"}
    found = {}
    for precision in ("float32", "bfloat16", "bfloat16 weights"):
        work = pytorch_steps.votes(
            form="folded", precision=precision, stage="waveform", **options
        )
        work.run(4)
        found[precision] = {n: np.asarray(x) for n, x in work.facts.items()}
    logits = problems.fresh_rescnn(1).logits_fn("waveform")
    expected = jax.jit(jax.vmap(logits))(problems.parity_inputs("waveform"))
    for precision, facts in found.items():
        np.testing.assert_allclose(facts["logits"], expected, atol=1e-4)
        gap = np.abs(facts["rounded"] - expected).max() / np.abs(expected).max()
        assert (gap < 1e-4) == (precision == "float32") and gap < 0.1
