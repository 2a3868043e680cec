"""Chunked levels beside librosa, and clips beside a loop over their chunks."""

import functools
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from advjax.classifier import Classifier, initialise
from advjax.models import CRNN, VGG13
from advjax.representations import ConstantQChunks, LogMelChunks
from data_prep.corpora.fsdkaggle2018 import fsdkaggle2018

SIZE = 65_536


@pytest.fixture(scope="module")
def clips():
    if "ADVJAX_DATA" not in os.environ:
        pytest.skip("ADVJAX_DATA names the folder of real audio")
    folder = pathlib.Path(os.environ["ADVJAX_DATA"]) / "FSDKaggle2018"
    corpus = fsdkaggle2018(folder, sample_rate_hz=32_000)
    return [utterance.load() for utterance in corpus.utterances("test")]


def librosa_levels(wave):
    import librosa

    power = librosa.feature.melspectrogram(
        y=np.pad(wave, (0, 512)), sr=32_000, n_fft=1024, hop_length=512, n_mels=64,
        center=False,
    )  # fmt: skip
    levels = 10 * np.log10(power.T + 1e-6)
    return levels - levels.max()


def test_log_mels_equal_librosas_on_real_clips(clips):
    apply = jax.jit(LogMelChunks().apply)
    counts = set()
    for wave in clips:
        found = np.asarray(apply(wave))
        padded = np.pad(wave, (0, -len(wave) % SIZE))
        wanted = librosa_levels(padded).reshape(-1, 128, 64, 1)
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-3)
        counts.add(len(found))
    assert len(counts) > 1  # clips of several lengths were there


@pytest.mark.parametrize("rep", [LogMelChunks(), ConstantQChunks()])
@pytest.mark.parametrize("length", [1, SIZE - 1, SIZE, SIZE + 1])
def test_a_clip_is_padded_to_whole_chunks_and_its_maximum_is_0_db(rep, length):
    wave = np.random.default_rng(0).normal(0, 0.1, length).astype(np.float32)
    found = jax.jit(rep.apply)(wave)
    assert found.shape == (-(-length // SIZE), 128, 64, 1)
    assert float(found.max()) == 0.0


@pytest.mark.parametrize("rep", [LogMelChunks(), ConstantQChunks()])
def test_padding_changes_no_level_of_a_clip(rep):
    # Frames behind the clip hear the click that ends it.
    wave = np.zeros(SIZE, np.float32)
    wave[-2:] = 0.9
    found, chunks = rep.step_padded(jnp.pad(wave, (0, SIZE)), jnp.int32(SIZE - 9))
    assert found.shape == (2, 128, 64, 1) and int(chunks) == 1
    np.testing.assert_allclose(found[0], rep.step(jnp.asarray(wave))[0], atol=1e-3)
    louder = rep.levels(jnp.linspace(0, 1, SIZE), jnp.int32(64))
    assert float(louder[:64].max()) == 0 < float(louder[64:].max())


def test_levels_are_relative_to_the_clip_and_not_to_the_chunk():
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 2 * SIZE).astype(np.float32)
    wave[SIZE + 1024 :] *= 0.01
    loud, quiet = np.asarray(jax.jit(LogMelChunks().apply)(wave))
    assert loud.max() == 0.0
    assert quiet[2:].max() == pytest.approx(-40, abs=6)


@pytest.mark.parametrize("network", [VGG13, CRNN])
def test_a_clips_answer_is_that_of_a_loop_over_its_chunks(network):
    rep = LogMelChunks()
    module = network(num_classes=3, width=2, mean=-40.0, deviation=15.0)
    variables = initialise(module, rep, jax.random.key(0))
    classifier = Classifier(variables, module, rep, ("a", "b", "c"))
    wave = np.random.default_rng(1).normal(0, 0.1, 3 * SIZE - 900).astype(np.float32)
    wave[: SIZE // 2] *= np.linspace(0, 1, SIZE // 2, dtype=np.float32)
    found = jax.jit(lambda f, x: f(x))(
        classifier.logits_fn("waveform"), jnp.asarray(wave)
    )

    padded = np.pad(wave, (0, 900))
    levels = np.asarray(jax.jit(rep.levels)(padded))
    plain = jax.jit(
        functools.partial(network(num_classes=3, width=2).apply, train=False)
    )
    shares = []
    for chunk in range(3):
        part = (levels[128 * chunk : 128 * (chunk + 1)] + 40.0) / 15.0
        row = plain(variables, jnp.asarray(part)[None, :, :, None])[0]
        shares.append(np.exp(row) / np.exp(row).sum())
    np.testing.assert_allclose(
        jax.nn.softmax(found), np.mean(shares, axis=0), rtol=2e-5
    )


@pytest.mark.parametrize("rep", [LogMelChunks(), ConstantQChunks()])
def test_the_gradient_is_finite_at_silence_and_in_padding(rep):
    wave = np.zeros(SIZE + 100, np.float32)
    weights = jax.random.normal(jax.random.key(0), (2, 128, 64, 1))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(weights * rep.apply(x))))
    assert np.isfinite(gradient(wave)).all()
    wave[:5000] = np.random.default_rng(0).normal(0, 0.1, 5000)
    assert np.isfinite(gradient(wave)).all()
