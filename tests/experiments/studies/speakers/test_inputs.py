import math
import types

import numpy as np
import pytest
from flax import linen as nn
from scipy.io import wavfile

from advjax.classifier import Classifier
from advjax.evaluation import Point
from advjax.reports import tables
from advjax.representations import LogMel, Magnitude, MelEnergies, Waveform
from advjax.signal.samples import from_int16, to_int16
from experiments.lab import trainers
from experiments.lab.task import Task
from experiments.studies.speakers.inputs import (
    noisy_inputs,
    of_other_speakers,
    sections,
    statistics,
    statistics_table,
)

MAGNITUDE = Magnitude(source=Waveform(num_samples=1600))
SHORT = MelEnergies(source=MAGNITUDE)
PNG = b"\x89PNG\r\n\x1a\n"


class Constant(nn.Module):
    """Class 1, whatever it is shown."""

    @nn.compact
    def __call__(self, x, *, train):
        del train
        zeros = 0 * x.reshape(x.shape[0], -1)[:, :2]
        return zeros + np.asarray([[0.0, 1.0]], np.float32)


def stub(representation, labels=("a", "b")):
    classifier = Classifier({}, Constant(), representation, labels)
    return types.SimpleNamespace(
        representation=representation,
        classifier=classifier,
        task=types.SimpleNamespace(seed=0),
    )


@pytest.fixture(scope="module")
def clip() -> Point:
    """Noise with a hum, rounded to 16 bits as test points are."""
    rng = np.random.default_rng(0)
    wave = rng.normal(0, 0.1, 1600) + 0.3 * np.sin(np.arange(1600) / 9)
    return Point(0, "hum", from_int16(to_int16(wave.astype(np.float32))), 0)


def read(path):
    rate_hz, samples = wavfile.read(path)
    assert rate_hz == 16_000
    assert samples.dtype == np.int16
    return samples.astype(np.float64) / 32768


def test_statistics_by_hand():
    x = np.arange(101, dtype=np.float32)[None]
    deviation, norm = math.sqrt((101**2 - 1) / 12), math.sqrt(338350)
    found = [float(cell) for cell in statistics(x)]
    wanted = [0, 100, 1, 99, 50, deviation, norm]
    np.testing.assert_allclose(found, wanted, rtol=2e-3)


def test_without_noise_every_stage_gives_the_clip_back(tmp_path, clip):
    table = noisy_inputs(stub(SHORT), clip, tmp_path, sigmas=(1e-6,))
    for row in table.rows:
        np.testing.assert_allclose(read(tmp_path / row[-1]), clip.x, atol=1e-3)
        assert float(row[5]) > 40
        assert row[6] == "0"
    np.testing.assert_array_equal(read(tmp_path / "noisy_inputs" / "clean.wav"), clip.x)


def test_noise_is_as_large_as_it_says(tmp_path, clip):
    sigmas = (0.1, 0.5)
    table = noisy_inputs(stub(SHORT), clip, tmp_path, sigmas=sigmas)
    assert [row[:2] for row in table.rows] == [
        [stage, f"{sigma:g}"]
        for stage in ("waveform", "magnitude", "mfbe")
        for sigma in sigmas
    ]
    x = clip.x.astype(np.float64)
    for row, sigma in zip(table.rows[:2], sigmas, strict=True):
        snr_db = 20 * math.log10(np.linalg.norm(x) / (sigma * math.sqrt(1600)))
        assert float(row[2]) == pytest.approx(snr_db, abs=0.5)
        # The file's own is as written: louder noise is cut at full scale.
        assert row[2] == row[5] if row[6] == "0" else float(row[5]) > float(row[2])
    noise = read(tmp_path / "noisy_inputs/waveform_sigma0.1.wav") - x
    assert noise.std() == pytest.approx(0.1, rel=0.06)
    # At the network's own input: 9 frames of 64 bands.
    assert float(table.rows[-1][3]) == pytest.approx(0.5 * 24, rel=0.1)
    assert {row[4] for row in table.rows} == {"b"}
    assert {row[7] for row in table.rows} == {"b"}


def test_what_is_beyond_full_scale_saturates_and_is_counted(tmp_path, clip):
    table = noisy_inputs(stub(SHORT), clip, tmp_path, sigmas=(0.5,))
    samples = read(tmp_path / "noisy_inputs/waveform_sigma0.5.wav")
    ends = np.sum((samples == -1) | (samples == 32767 / 32768))
    assert ends > 20  # a normal of deviation 0.5 and the hum
    assert abs(int(table.rows[0][6]) - ends) <= 1  # one may have ended there by itself


def test_files_have_the_same_bytes_again(tmp_path, clip):
    for name in ("one", "two"):
        noisy_inputs(stub(SHORT), clip, tmp_path / name, sigmas=(0.05, 0.5))
    one = tmp_path / "one"
    files = [path.relative_to(one) for path in one.rglob("*.*")]
    assert len(files) == 8
    for name in files:
        content = (one / name).read_bytes()
        assert content == (tmp_path / "two" / name).read_bytes()
    assert (tmp_path / "one" / "noisy_inputs.png").read_bytes().startswith(PNG)


def test_stages_have_sigmas_of_their_own(tmp_path, clip, monkeypatch):
    chosen = {"waveform": (0.1,), "magnitude": (0.1, 1.0), "mfbe": (0.1, 1.0, 2.0)}
    monkeypatch.setattr("experiments.studies.speakers.inputs.SIGMAS", chosen)
    drawn = []
    monkeypatch.setattr(
        "advjax.reports.figures.image_grid_plot",
        lambda images, path, **texts: drawn.append((images, texts["titles"])),
    )
    table = noisy_inputs(stub(SHORT), clip, tmp_path)
    found = [(row[0], float(row[1])) for row in table.rows]
    assert found == [(at, sigma) for at, all in chosen.items() for sigma in all]
    ((images, titles),) = drawn
    assert images.shape == (3, 4, 9, 64)
    missing = np.isnan(images).all(axis=(2, 3))
    assert missing.tolist() == [[False] * (1 + n) + [True] * (3 - n) for n in (1, 2, 3)]
    assert [[bool(text) for text in line] for line in titles] == (~missing).tolist()
    # Louder noise moves the input further: panels stand in the order of the table.
    moved = [np.linalg.norm(images[2, i] - images[2, 0]) for i in (1, 2, 3)]
    np.testing.assert_allclose(moved, [float(row[3]) for row in table.rows[3:]], 0.01)


def test_clips_of_other_speakers_are_the_first_of_each(clip):
    points = [clip._replace(id=f"{i}", label=y) for i, y in enumerate([1, 1, 0, 1, 2])]
    assert [point.id for point in of_other_speakers(points, 2)] == ["0", "2"]
    assert [point.id for point in of_other_speakers(points, 9)] == ["0", "2", "4"]


def test_a_stage_without_inverse_has_no_wav(tmp_path, clip):
    rep = LogMel(source=MAGNITUDE)
    table = noisy_inputs(stub(rep), clip, tmp_path, sigmas=(0.1,))
    assert table.rows[-1][0] == "logmel"
    assert table.rows[-1][5:] == ["", "", "", ""]
    assert len(list(tmp_path.rglob("*.wav"))) == 3


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Records of two short synthetic speakers; the network is not trained."""
    return Task(
        home=tmp_path_factory.mktemp("home"),
        corpus="voices(num_speakers=2, minutes_per_speaker=0.5)",
        crops={"train": 2, "validation": 1, "test": 2},
    )


def test_statistics_of_records(task):
    data = task.draft().source.resolve()
    table = statistics_table(data, num_examples=3)
    named = {row[0]: row for row in table.rows}
    assert len(table.rows) == 6
    assert "3 crops of the test split" in table.notes[0]
    # Every frame has mean 0 and deviation 1, so norm 8.
    _, shape, low, high, _, _, mean, deviation, norm = named["mfbe"]
    assert [shape, deviation, norm] == ["160x64x1", "1", "101.19"]
    assert abs(float(mean)) < 1e-6
    assert -7.94 < float(low) < 0 < float(high) <= 7.94
    source = data.split("test")
    clips = np.stack([source[i]["audio"] for i in (0, 2, 3)]) / 32768
    assert float(named["waveform"][3]) == pytest.approx(clips.max(), rel=6e-3)
    assert float(named["waveform"][7]) == pytest.approx(clips.std(), rel=6e-3)
    assert float(named["magnitude"][2]) >= 0
    assert named["mfbe, publication"][4:6] == ["-0.848", "4.630"]


def test_the_network_stays_the_same_at_the_waveform(task):
    moved = task.at_waveform()
    assert (moved.at, moved.trained_at) == ("waveform", "mfbe")
    assert moved.at_waveform() == moved


@pytest.mark.slow
def test_the_whole_study(task, tmp_path, monkeypatch):
    def untrained(training):
        return stub(training.representation, training.labels).classifier

    monkeypatch.setattr(trainers, "find_or_train", untrained)
    found = sections(task, tmp_path / "out", num_points=40, sigmas=(0.1,))
    text = "\n\n".join(f"{head}\n\n{tables.as_markdown(t)}" for head, t in found)
    for title in ("Statistics", "Noisy inputs", "Random perturb", "Other front ends"):
        assert f"## {title}" in text
    for stage in ("waveform", "magnitude", "mfbe"):
        assert f"### At the {stage}" in text
    assert "accuracy on 4 crops" in text
    # A constant answer is right for half of the crops, behind every front end.
    assert "| window=hann |" in text
    half = "0.500 [0.07, 0.93]"
    assert f"| 0 | inf | {half} | {half} | {half} |" in text
    for number in (1, 2):
        assert f"(noisy_inputs_{number}.png)" in text
        assert len(list((tmp_path / f"out/noisy_inputs_{number}").glob("*.wav"))) == 4
