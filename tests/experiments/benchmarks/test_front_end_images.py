import json

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

from advjax.representations import PRESETS, Magnitude, Scalogram, Waveform
from experiments.benchmarks import front_end_image_rivals, front_end_images
from experiments.benchmarks.front_end_contest import Contestant, problem
from experiments.benchmarks.front_end_images import Result


def small(name):
    return PRESETS[name](seconds=0.4, sample_rate_hz=8000, scale=28)


# Both spectrograms, and the tonnetz.
@pytest.mark.parametrize("name", ["stft_tonnetz", "dwt_tonnetz"])
def test_ours_and_the_rival_are_what_the_definitions_say(name):
    representation = small(name)
    (clip,), _ = problem(representation, 1, seed=0)
    exact = front_end_image_rivals.exact(representation)(clip)
    ours = np.asarray(jax.jit(representation.apply)(clip))[..., 0]
    rival = front_end_image_rivals.rival(representation)(clip)
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
    exact = front_end_image_rivals.exact(scalogram)(click)
    assert exact.shape == (23, len(scale))
    np.testing.assert_allclose(exact**2, np.tile(power, 4), atol=1e-9 * power.max())


def test_threads_do_not_change_the_features():
    representation = small("stft")
    clips, _ = problem(representation, 3, seed=0)
    pipeline = front_end_image_rivals.rival(representation)
    np.testing.assert_array_equal(
        front_end_image_rivals.in_threads(pipeline, clips, 2),
        front_end_image_rivals.in_threads(pipeline, clips, 1),
    )


def test_what_librosa_does_not_compute_is_refused():
    with pytest.raises(ValueError, match="as long as its transform"):
        front_end_image_rivals.rival(Magnitude())


def test_an_image_of_ours_that_is_wrong_is_refused(monkeypatch):
    representation = small("stft")
    clips, cotangent = problem(representation, 1, seed=0)
    right = front_end_image_rivals.exact
    monkeypatch.setattr(
        front_end_image_rivals, "exact", lambda r: lambda wave: right(r)(wave) + 2e-3
    )
    with pytest.raises(ValueError, match="our image is off by 2.*1e-03 is allowed"):
        front_end_images.compete("stft", representation, clips, cotangent, 1)


def test_a_row_says_what_the_turns_took():
    def took(*wall_s):
        cpu = [2 * wall for wall in wall_s[:2]]
        return Contestant(lambda: (), wall_s=list(wall_s), cpu_s=cpu)

    rival = "librosa and PyWavelets, threads: "
    result = Result(
        "dwt",
        small("dwt"),
        10,
        {
            "image": {"ours": (1e-4, 1e-6), "librosa and PyWavelets": (0.3, 0.02)},
            "spectrogram": {"ours": (2e-6, 0), "librosa and PyWavelets": (0.1, 0)},
        },
        {
            "ours": took(0.5, 1.0, 2.0),
            "ours, with gradient": took(2.0, 2.0, 2.0),
            f"{rival}1": took(9.0, 9.0, 9.0),
            f"{rival}2": took(6.0, 5.0, 2.0),
        },
    )
    assert front_end_images._row(result) == [
        "dwt", "56 x 27", "0.0", "10", "5", "2", "2", "5.0", "1.0 to 12.0", "10.0",
        "1e-04", "1e-06", "2e-06", "3e-01", "2e-02", "1e-01",
    ]  # fmt: skip


def test_the_program_writes_table_turns_and_figure(tmp_path):
    name = "dwt(seconds=0.4, sample_rate_hz=8000, scale=28)"
    with flagsaver.flagsaver(
        representation=[name], image_clips=2, turns=2, out=str(tmp_path)
    ):
        front_end_images.main()
    table = (tmp_path / "table.md").read_text()
    assert table.count(f"| {name} |") == 1
    found = json.loads((tmp_path / "front_end_images.json").read_text())
    (first,) = found["results"]
    assert first["name"] == name
    assert first["representation"]["frames"] == 56
    assert {"ours", "ours, with gradient"} < set(first["entrants"])
    assert all(len(one["wall_s"]) == 2 for one in first["entrants"].values())
    assert first["errors"]["image"]["ours"][0] < 1e-3
    assert (tmp_path / "front_end_images.png").read_bytes().startswith(b"\x89PNG")
