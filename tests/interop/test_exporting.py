import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax import interop
from advjax.interop import exporting
from advjax.representations import Magnitude, Waveform

W = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
CLIPS = np.random.default_rng(1).uniform(-1, 1, (4, 40)).astype(np.float32)


def linear(w, x):
    return jnp.pad(x, 1)[1:-1] @ w


def classifier(function=linear, *, order=(2, 0, 1), representation=None, **more):
    """A function of 40 samples at 8 kHz as a classifier."""
    return interop.ForeignClassifier(
        network=jax.tree_util.Partial(function, W),
        representation=representation or Waveform(sample_rate_hz=8_000, num_samples=40),
        labels=("a", "b", "c"),
        order=order,
        name="mine",
        **more,
    )


@pytest.fixture
def need_flatbuffers():
    pytest.importorskip("flatbuffers")


def test_stablehlo_holds_labels_and_any_number_of_clips(need_flatbuffers, tmp_path):
    path = tmp_path / "deeper" / "mine.stablehlo"
    found = interop.to_stablehlo(classifier(), path, clips=CLIPS)
    assert (found.path, found.batch, found.num_clips) == (path, None, 7)
    assert found.difference < 1e-5 < found.largest
    again = interop.from_stablehlo(path)
    for count in (1, 4):
        rows = again(CLIPS[:count])
        np.testing.assert_allclose(rows, (CLIPS @ W)[:count, [2, 0, 1]], atol=1e-5)
    kept = json.loads((tmp_path / "deeper" / "mine.stablehlo.json").read_text("utf-8"))
    assert kept["labels"] == ["a", "b", "c"] and kept["sample_rate_hz"] == 8_000
    assert kept["num_samples"] == 40 and kept["batch"] is None


def test_a_file_that_is_no_program_is_refused(need_flatbuffers, tmp_path):
    (tmp_path / "odd").write_bytes(b"no program of jax.export")
    with pytest.raises(ValueError, match="odd is no program of jax.export"):
        interop.from_stablehlo(tmp_path / "odd")


def test_a_black_box_is_refused_by_its_name(need_flatbuffers, tmp_path):
    with pytest.raises(ValueError, match="^mine is a black box, whose operations"):
        interop.to_stablehlo(classifier(has_gradients=False), tmp_path / "x")
    assert not any(tmp_path.iterdir())


def export(write, read, path):
    return exporting._exported(classifier(), path, CLIPS, write, read)


def test_another_result_is_refused_and_leaves_what_was_there(tmp_path):
    path = tmp_path / "mine.bin"
    path.write_text("of before")
    with pytest.raises(ValueError, match="differ by .* 0.0.* is allowed"):
        export(
            lambda aside, batch: aside.write_text("new"),
            lambda aside: lambda x: x @ W[:, [2, 0, 1]] + (len(x) > 1),
            path,
        )
    assert path.read_text() == "of before" and len([*tmp_path.iterdir()]) == 1


def test_what_takes_no_free_batch_is_written_for_one_clip(tmp_path):
    tried = []

    def write(aside, batch):
        tried.append(batch)
        aside.write_text(f"{batch}")
        if batch is None:
            raise TypeError("no free batch")

    def one(x):
        assert len(x) == 1
        return x @ W[:, [2, 0, 1]]

    found = export(write, lambda aside: one, tmp_path / "mine.bin")
    assert tried == [None, 1] and found.batch == 1
    assert (tmp_path / "mine.bin").read_text() == "1"
    with pytest.raises(ValueError, match=r"mine cannot be exported \(KeyError: 'odd"):
        export(lambda aside, batch: {}["odd"], lambda aside: one, tmp_path / "x")


@pytest.fixture
def need_jax2onnx():
    pytest.importorskip("jax2onnx")
    pytest.importorskip("onnxruntime")


@pytest.mark.slow
def test_an_onnx_file_is_read_as_a_classifier(need_jax2onnx, tmp_path):
    def levels(w, x):
        return x[..., 0].mean(0)[:40] @ w

    stage = Magnitude(
        source=Waveform(sample_rate_hz=8_000, num_samples=400),
        frame_length=100, hop=30, num_fft=128,
    )  # fmt: skip
    ours = classifier(levels, representation=stage)
    clips = np.random.default_rng(2).normal(0, 0.2, (5, 400)).astype(np.float32)
    found = interop.to_onnx(ours, tmp_path / "mine.onnx", clips=clips)
    assert found.batch is None and found.difference < 1e-4
    again = interop.load(f"onnx:{tmp_path}/mine.onnx")
    assert again.labels == ours.labels and not again.has_gradients
    assert again.representation == stage.source
    rows = [jax.vmap(each.logits_fn("waveform"))(clips) for each in (ours, again)]
    np.testing.assert_allclose(*rows, atol=1e-4)


@pytest.mark.slow
def test_an_operation_that_jax2onnx_lacks_is_named(need_jax2onnx, tmp_path):
    def odd(w, x):
        same = jax.pure_callback(np.asarray, x, x, vmap_method="expand_dims")
        return same @ w

    with pytest.raises(ValueError, match="operation pure_callback.*stablehlo has all"):
        interop.to_onnx(classifier(odd), tmp_path / "x")
    assert not any(tmp_path.iterdir())
