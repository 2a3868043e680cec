import pytest
from matplotlib.image import imread

from advjax.reports.figures import two_sizes_plot

WORDS = {"x_label": "x", "y_label": "y", "above": "above", "below": "below"}


def test_dots_above_the_diagonal_have_a_colour_of_their_own(tmp_path):
    colours = {}
    for name, y in (("below", 0.5), ("above", 2.0)):
        path = two_sizes_plot([1.0, 10.0], [y, 1.0], tmp_path / f"{name}.png", **WORDS)
        pixels = (imread(path)[..., :3] * 255).round().astype(int)
        orange = (pixels == (0xD5, 0x5E, 0)).all(axis=-1)
        colours[name] = int(orange.sum())
    assert colours["above"] > colours["below"] > 0


def test_a_size_of_zero_is_refused(tmp_path):
    for x, y in (([], []), ([1.0], [0.0])):
        with pytest.raises(ValueError, match="positive"):
            two_sizes_plot(x, y, tmp_path / "a.png", **WORDS)
