import json

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import PRESETS, Scalogram, Waveform
from experiments.benchmarks import front_end_images
from experiments.benchmarks.problems import voices
from experiments.benchmarks.results import Contest, Result
from experiments.benchmarks.rivals import image_front_ends
from experiments.benchmarks.work import Turn


def small(name):
    return PRESETS[name](seconds=0.4, sample_rate_hz=8000, scale=28)


# Both spectrograms, and the tonnetz.
@pytest.mark.parametrize("name", ["stft_tonnetz", "dwt_tonnetz"])
def test_ours_and_the_rival_are_what_the_definitions_say(name):
    representation = small(name)
    (clip,), _ = voices(representation, 1, seed=0)
    exact = image_front_ends.exact(representation)(clip)
    ours = np.asarray(jax.jit(representation.apply)(clip))[..., 0]
    rival = image_front_ends.rival(representation)(clip)
    assert exact.dtype == np.float64 and rival.dtype == np.float32
    np.testing.assert_allclose(ours, exact, atol=1e-3)
    # pywt.cwt averages its wavelet over a sample: -2 dB of 80 at the highest scales.
    np.testing.assert_allclose(rival, exact, atol=0.05 if "dwt" in name else 1e-3)


def test_the_exact_scalogram_of_a_click_has_the_closed_form():
    scalogram = Scalogram(
        source=Waveform(num_samples=2400),
        num_bins=4,
        min_hz=500.0,
        frame_length=200,
        hop=100,
    )
    click = np.zeros(2400)
    click[1000] = 1.0
    # |W| of a click is the wavelet itself: a Gaussian, whose mean square is one too.
    scale, spread = scalogram.scales, 200 / (4 * np.sqrt(np.log(2)))
    from_centre = 1000 - (100 * np.arange(23)[:, None] + 99.5)
    power = np.exp(-((from_centre / spread) ** 2)) / (2 * np.pi * spread)
    exact = image_front_ends.exact(scalogram)(click)
    assert exact.shape == (23, len(scale))
    np.testing.assert_allclose(exact**2, np.tile(power, 4), atol=1e-9 * power.max())


def test_threads_do_not_change_the_features():
    representation = small("stft")
    clips, _ = voices(representation, 3, seed=0)
    pipeline = image_front_ends.rival(representation)
    np.testing.assert_array_equal(
        image_front_ends.in_threads(pipeline, clips, 2),
        image_front_ends.in_threads(pipeline, clips, 1),
    )


def test_an_image_of_ours_that_is_wrong_is_refused(monkeypatch):
    representation = small("stft")
    clips, cotangent = voices(representation, 1, seed=0)
    right = image_front_ends.exact
    monkeypatch.setattr(
        image_front_ends, "exact", lambda r: lambda wave: right(r)(wave) + 2e-3
    )
    with pytest.raises(ValueError, match="our image is off by 2.*1e-03 is allowed"):
        front_end_images.compete("stft", representation, clips, cotangent, 1)


def test_the_faster_rival_is_a_row_with_its_error():
    def took(name, kind, wall_s, cpu_s, error):
        turns = (Turn(10, *pair, 0) for pair in zip(wall_s, cpu_s, strict=True))
        first, facts = Turn(10, 0.0, 0.0, 0), {"error": error}
        return Result(name, kind, first, tuple(turns), facts)

    found = (
        took("ours", "ours", (0.5, 1.0, 2.0), (1.0, 1.0, 1.0), (1e-4, 1e-6)),
        took("with gradient", "gradient", (2.0,) * 3, (1.0,) * 3, (1e-4, 1e-6)),
        took("threads: 1", "rival", (9.0, 9.0, 9.0), (1.0, 1.0, 1.0), (0.3, 0.02)),
        took("threads: 2", "rival", (6.0, 5.0, 2.0), (11.0, 10.0, 10.0), (0.3, 0.02)),
    )
    facts = {"clips": 10, "clip": "a few samples"}
    table = front_end_images.summary([Contest("dwt", "clips", found, facts)])
    assert [row[0] for row in table.rows] == ["ours", "with gradient", "threads: 2"]
    ours, _, rival = (dict(zip(table.header, row, strict=True)) for row in table.rows)
    assert ours["clips/s"] == "10" and rival["clips/s"] == "2"
    assert ours["times the rival"] == "5.00 [1.00, 12.00]"
    # By CPU time the best rival is the other one.
    assert ours["by CPU time"] == "1.00 [1.00, 1.00]"
    assert ours["error"] == "1e-04 (1e-06)" and rival["error"] == "3e-01 (2e-02)"


@pytest.mark.slow
def test_the_program_writes_table_turns_and_figure(tmp_path):
    name = "dwt(seconds=0.4, sample_rate_hz=8000, scale=28)"
    with flagsaver.flagsaver(
        representation=[name], image_clips=2, turns=2, out=str(tmp_path)
    ):
        front_end_images.main()
    table = (tmp_path / "front_end_images.md").read_text()
    assert table.startswith("| contestant ") and "| ours, with gradient | " in table
    spelled = json.loads((tmp_path / "front_end_images.json").read_text())
    (one,) = spelled["contests"]
    assert one["title"] == f"{name}, 56 x 27"
    assert one["facts"]["representation"]["frames"] == 56
    found = {each["name"]: each for each in one["results"]}
    assert {"ours", "ours, with gradient"} < set(found)
    assert all(len(each["turns"]) == 2 for each in one["results"])
    assert found["ours"]["facts"]["error"][0] < 1e-3
    assert (tmp_path / "front_end_images.png").read_bytes().startswith(b"\x89PNG")
