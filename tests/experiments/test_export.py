"""Classifiers as files: written, read back, and certified like the originals."""

import importlib.util
import json
import pathlib
import re

import numpy as np
import pytest

from advjax import interop
from advjax.runs.row_types import CERTIFICATES
from experiments.lab import exports

ROOT = pathlib.Path(__file__).parents[2]
CORPUS = "--corpus=voices(num_speakers=3)"


def test_a_file_is_named_like_its_classifier():
    home = pathlib.Path("runs")
    for folder, to, name in [
        ("runs/classifiers/voices-3", "onnx", "voices-3.onnx"),
        ("torch:/mine/deep.py:make", "stablehlo", "deep.stablehlo"),
        ("module:lab.networks:make", "onnx", "networks.onnx"),
    ]:
        found = exports.file_of(home, pathlib.Path(folder), to)
        assert found == home / "exports" / name


needs_jax2onnx = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, ("jax2onnx", "onnxruntime"))),
    reason="jax2onnx and ONNX Runtime are not installed",
)


@needs_jax2onnx
@pytest.mark.slow
def test_a_trained_network_is_certified_as_onnx_with_the_same_votes(tmp_path, start):
    home = (CORPUS, f"--home={tmp_path}", "--num_points=6")
    code, said = start("export", *home, "--num_steps=40")
    assert code == 0, said
    assert "takes any number of clips" in said
    assert float(re.search(r"Logits differ by (\S+)", said)[1]) < 1e-4
    assert "on 9 clips" in said
    (file,) = (tmp_path / "exports").glob("*.onnx")
    (folder,) = (tmp_path / "classifiers").iterdir()
    votes = ("--sigma=0.002", "--rep=waveform", "--num_estimation=200")
    rows = []
    for name, network in [("ours", folder), ("theirs", f"onnx:{file}")]:
        given = (f"--classifier={network}", f"--workdir={tmp_path}/{name}")
        code, said = start("certify", *home, *votes, *given)
        assert code == 0, said
        rows.append(CERTIFICATES.read(tmp_path / name))
    ours, theirs = rows
    assert (ours.predict == theirs.predict).all() and ours.correct.any()
    np.testing.assert_allclose(ours.p_lower, theirs.p_lower, atol=0.02)


OF_JAX = """
import jax.numpy as jnp

def make():
    def levels(x):
        return jnp.abs(jnp.fft.rfft(x))[1:4]
    return {"module": levels, "num_samples": 1600, "labels": ["a", "b", "c"]}
"""


@pytest.mark.slow
def test_a_function_of_jax_is_written_as_stablehlo(tmp_path, start):
    pytest.importorskip("flatbuffers")
    (tmp_path / "mine.py").write_text(OF_JAX, encoding="utf-8")
    network = f"--classifier=module:{tmp_path}/mine.py:make"
    code, said = start("export", network, "--to=stablehlo", f"--home={tmp_path}")
    assert code == 0, said
    file = tmp_path / "exports" / "mine.stablehlo"
    assert f"{file} takes any number of clips" in said and "on 3 clips" in said
    x = np.random.default_rng(0).normal(size=(2, 1600)).astype(np.float32)
    rows = interop.from_stablehlo(file)(x)
    np.testing.assert_allclose(rows, np.abs(np.fft.rfft(x))[:, 1:4], rtol=1e-3)
    assert json.loads(pathlib.Path(f"{file}.json").read_text())["labels"][2] == "c"
    code, said = start("export", network, CORPUS, "--to=stablehlo")
    assert code == 1 and "has no class 'speaker-00'" in said
