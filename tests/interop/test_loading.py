import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest

from advjax import interop
from advjax.representations import LogMel, Waveform

HEAD = """
import jax
import numpy as np

def linear(samples=8, classes=2):
    weights = np.float32(np.arange(samples * classes).reshape(samples, classes))
    return jax.tree_util.Partial(lambda w, x: x @ w, weights)

def make():
    return {"module": linear(), "num_samples": 8, "labels": ["a", "b"]}
"""


@pytest.fixture
def load(tmp_path):
    """Function that loads `make` of a file whose last lines are given."""

    def of(*lines, kind="module", function="make"):
        path = tmp_path / "mine.py"
        path.write_text(HEAD + "\n".join(lines), encoding="utf-8")
        return interop.load(f"{kind}:{path}:{function}")

    return of


def test_a_function_of_jax_is_a_classifier(load):
    found = load()
    assert found.labels == ("a", "b") and found.has_gradients
    assert found.representation == Waveform(num_samples=8)
    logits = found.logits_fn("waveform")(jnp.ones(8))
    assert logits.tolist() == [56, 64] and found.num_parameters() == 16
    assert load("# changed").digest() != found.digest()


def test_a_network_chooses_its_rate_length_and_stage(load):
    with pytest.raises(ValueError, match="failed on one example"):
        load("def make(): return linear(7)")
    found = load(
        "def make(): return {'module': linear(51_600), 'sample_rate_hz': 32000}"
    )
    # As many seconds as the house takes, where any length will do.
    assert found.representation == Waveform(sample_rate_hz=32_000, num_samples=51_600)
    assert found.labels == ()
    found = load(
        "def make():",
        "    net = jax.tree_util.Partial(lambda x: x.mean((1, 2))[:2])",
        "    stage = 'logmel(num_bands=20)'",
        "    return {'module': net, 'stage': stage, 'num_samples': 1600}",
    )
    assert isinstance(found.representation, LogMel)
    assert found.representation.num_samples == 1600


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("def make(): return {'module': linear(), 'rate': 3}", "the key 'rate'; the k"),
        ("def make(): return {}", "no 'module'"),
        ("def make(): return {'module': 1, 'num_samples': 0}", "num_samples=0: give a"),
        ("def make(): return {'module': 1}", "returns int: return a function"),
        ("def make(): return 1 / 0", r"fails in line \d+ \(ZeroDivisionError"),
        ("def make(:", "fails in line 11 .SyntaxError"),
        ("make = 3", "has no function make"),
        ("def make(): return linear(25_800), 3", "returns tuple"),
        (
            "def make(): return {'module': linear(), 'num_samples': 8,"
            " 'labels': ['a']}",
            "1 labels for 2 classes",
        ),
        (
            "def make(): return {'module': linear(), 'num_samples': 8, 'labels': 'ab'}",
            "give a list of names",
        ),
        (
            "def make(): return {'module': linear(), 'num_samples': 8,"
            " 'labels': ['a', 'a']}",
            "two classes are called 'a'",
        ),
        (
            "def make(): return {'module': lambda x: x / 0, 'num_samples': 8}",
            "not finite",
        ),
        ("def make(): return {'module': linear(), 'stage': 'melon'}", "melon"),
    ],
)
def test_what_breaks_the_contract_is_refused_with_its_name(load, lines, words):
    with pytest.raises(ValueError, match=words) as caught:
        load(lines)
    assert "mine.py:make" in str(caught.value)


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no file .*none.py"):
        interop.load(f"module:{tmp_path}/none.py:make")
    with pytest.raises(ValueError, match="write torch:PATH.py:FUNCTION"):
        interop.load(str(tmp_path))
    with pytest.raises(ModuleNotFoundError):
        interop.load("module:advjax_has_no_such_module:make")


needs_torch = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("torch", "torchax"))),
    reason="PyTorch and torchax are not installed",
)
TORCH = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(8, 2)
    def forward(self, x):
        return self.head(x) + self.more(x)
    def more(self, x):
        return 0
"""


@needs_torch
def test_a_pytorch_module_is_compared_with_itself(load):
    make = "def make(): return {'module': Net().eval(), 'num_samples': 8}"
    found = load(TORCH, make, kind="torch")
    assert "Logits of JAX and PyTorch differ by" in found.remarks[0]
    assert found.num_parameters() == 18
    black = load(TORCH, make.replace("8}", "8, 'black_box': True}"), kind="torch")
    assert not black.has_gradients and not black.remarks


@needs_torch
@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("torch.randn(1)", "between two calls"),
        ("x.mean()", "a batch and its examples alone"),
        ("float('nan')", "not finite"),
        ("torch.zeros(3)", "fails on a batch of shape"),
        (
            "nn.functional.adaptive_max_pool2d(x[:, None, None], 1).mean()",
            "alone|lacks",
        ),
        ("x[:, :2] if x.max() > -9 else x[:, 1:3]", "cannot trace.*black_box=True"),
    ],
)
def test_a_module_that_breaks_the_contract_is_refused(load, more, words):
    make = (
        "class Mine(Net):",
        f"    def more(self, x): return {more}",
        "def make(): return {'module': Mine().eval(), 'num_samples': 8}",
    )
    with pytest.raises(ValueError, match=words):
        load(TORCH, *make, kind="torch")


@needs_torch
def test_recurrent_layers_are_said(load):
    found = load(
        TORCH,
        "class Mine(Net):",
        "    def __init__(self):",
        "        super().__init__()",
        "        self.recurrent = nn.GRU(4, 4, batch_first=True)",
        "    def more(self, x):",
        "        return self.recurrent(x.view(-1, 2, 4))[0][:, -1, :2]",
        "def make(): return {'module': Mine().eval(), 'num_samples': 8}",
        kind="torch",
    )
    assert "recurrent layers (GRU), which are unrolled" in found.remarks[0]
    assert found.recurrent and not load().recurrent


@pytest.fixture
def onnx_file(tmp_path):
    """Function that writes a linear model with a batch axis and properties."""
    onnx = pytest.importorskip("onnx", exc_type=ImportError)
    pytest.importorskip("onnxruntime", exc_type=ImportError)

    def write(batch="batch", **properties):
        weights = np.float32(np.arange(16).reshape(8, 2))
        helper, single = onnx.helper, onnx.TensorProto.FLOAT
        graph = helper.make_graph(
            [helper.make_node("MatMul", ["x", "w"], ["y"])],
            "linear",
            [helper.make_tensor_value_info("x", single, [batch, 8])],
            [helper.make_tensor_value_info("y", single, [batch, 2])],
            [onnx.numpy_helper.from_array(weights, "w")],
        )
        opset = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=8)
        helper.set_model_props(model, properties)
        onnx.save(model, tmp_path / "mine.onnx")
        return tmp_path / "mine.onnx"

    return write


@pytest.mark.parametrize("batch", ["batch", 1, 3])
def test_an_onnx_model_is_a_classifier_without_gradients(onnx_file, batch):
    path = onnx_file(batch, labels=json.dumps(["b", "a"]), sample_rate_hz="8000")
    found = interop.load(f"onnx:{path}")
    assert not found.has_gradients and found.labels == ("b", "a")
    assert found.representation == Waveform(sample_rate_hz=8000, num_samples=8)
    logits = found.in_order(("a", "b")).logits_fn("waveform")
    assert logits(jnp.ones(8)).tolist() == [64, 56]
    assert interop.from_onnx(path)(np.ones(8, np.float32)).tolist() == [56, 64]


def test_a_file_that_is_no_model_is_refused(onnx_file):
    path = onnx_file(labels="a,b")
    with pytest.raises(ValueError, match="its property labels is no JSON"):
        interop.load(f"onnx:{path}")
    path.write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="is no model for ONNX Runtime"):
        interop.from_onnx(path)
    with pytest.raises(FileNotFoundError, match="name an ONNX model"):
        interop.from_onnx(path.with_name("none.onnx"))
