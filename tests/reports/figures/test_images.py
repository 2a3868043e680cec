import numpy as np
import pytest
from matplotlib.image import imread

from advjax.reports.figures import image_grid_plot
from advjax.reports.figures.images import frequency_ticks, second_ticks


def grid(images, path, titles=None, **axes):
    rows, columns = images.shape[:2]
    return image_grid_plot(
        images,
        path,
        row_labels=[f"noise at\n{i}" for i in range(rows)],
        titles=titles or [["clean", *["σ = 1"] * (columns - 1)]] * rows,
        units="mfbe",
        title="inputs",
        **axes,
    )


def test_a_grid_of_images_is_the_same_again_and_shows_what_it_is_given(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 3, 20, 8))
    path = grid(images, tmp_path / "new" / "a.png")
    height, width = imread(path).shape[:2]
    assert width > height > 200
    assert path.read_bytes() == grid(images, tmp_path / "b.png").read_bytes()
    # The scale comes from the first column: other images never hide in a wider one.
    images[1, 2, :10] = 1e6
    shown = imread(grid(images, tmp_path / "c.png"))
    changed = (shown != imread(path)).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert rows.min() > height * 0.45
    assert columns.min() > width * 0.55
    # Half of that panel, whatever its values: nothing else was scaled anew.
    assert 0.02 < changed.mean() < 0.2


def test_a_panel_of_nan_is_left_out(tmp_path):
    images = np.random.default_rng(0).normal(size=(2, 3, 20, 8))
    whole = imread(grid(images, tmp_path / "a.png"))
    images[0, 2] = np.nan
    part = imread(grid(images, tmp_path / "b.png"))
    height, width = whole.shape[:2]
    assert part.shape == whole.shape
    changed = (part != whole).any(axis=-1)
    rows, columns = np.nonzero(changed)
    assert changed.any() and rows.max() < height * 0.55 and columns.min() > width * 0.5
    assert (part[changed][:, :3] == 1).mean() > 0.99


def test_a_grid_without_a_title_for_each_image_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a title for each image"):
        grid(np.zeros((2, 3, 4, 5)), tmp_path / "a.png", titles=[["clean"], ["clean"]])


def test_differences_have_a_scale_of_their_own(tmp_path):
    # A change of a thousandth: lost on the scale of the images, whole on its own.
    images = np.zeros((1, 2, 20, 10))
    images[0, 0] = np.linspace(0, 1, 200).reshape(20, 10)
    images[0, 1, 10:] = 1e-3
    given = {"row_labels": ["a"], "titles": [["clean", "difference"]], "units": "mfbe"}
    colours = {}
    for own in (False, True):
        path = image_grid_plot(
            images, tmp_path / f"{own}.png", last_is_difference=own, **given
        )
        pixels = imread(path)[..., :3].reshape(-1, 3)
        colours[own] = {tuple(pixel) for pixel in (pixels * 255).round().astype(int)}
    darkest_red = (103, 0, 31)
    assert darkest_red in colours[True] and darkest_red not in colours[False]


def test_several_columns_of_differences_share_their_scale(tmp_path):
    images = np.zeros((1, 3, 20, 10))
    images[0, 0] = np.linspace(0, 1, 200).reshape(20, 10)
    # The greater change is in the first of the two columns.
    images[0, 1, 10:], images[0, 2, 10:] = 1e-3, -1e-3
    given = {"row_labels": ["a"], "titles": [["clean", "b", "c"]], "units": "dB"}
    path = image_grid_plot(
        images, tmp_path / "a.png", last_is_difference=True, num_differences=2, **given
    )
    pixels = (imread(path)[..., :3] * 255).round().astype(int).reshape(-1, 3)
    colours = {tuple(pixel) for pixel in pixels}
    assert {(103, 0, 31), (5, 48, 97)} <= colours  # the ends of red and of blue


def test_frames_and_bands_have_seconds_and_hertz(tmp_path):
    images = np.random.default_rng(0).normal(size=(1, 2, 160, 64))
    plain = imread(grid(images, tmp_path / "a.png"))
    axes = {"frame_s": 0.01, "band_hz": np.geomspace(64, 6000, 64)}
    assert (imread(grid(images, tmp_path / "b.png", **axes)) != plain).any()
    places, names = second_ticks(160, 0.01)
    assert names == ["0", "0.4", "0.8", "1.2"]
    np.testing.assert_allclose(places, [0, 40, 80, 120])


def test_round_frequencies_stand_between_their_bands():
    places, names = frequency_ticks(np.linspace(0, 8000, 257))
    assert names == ["8000", "6000", "4000", "2000", "0"]
    np.testing.assert_allclose(places, [256, 192, 128, 64, 0])
    places, names = frequency_ticks(np.geomspace(64, 6000, 128))
    assert names[0] == "4000" and "1000" in names
    assert all(np.diff(places) <= -128 / 5)
