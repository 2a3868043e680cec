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
from advjax.pretrained import find, load
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
