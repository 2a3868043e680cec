import pytest
from matplotlib.image import imread

from advjax.reports.figures import log_log_plot


def test_growth_is_drawn_in_a_panel_for_each_title(tmp_path):
    line = [(1, 2.0), (32, 9.0), (256, 40.0)]
    one = log_log_plot({"a": {"x": line}}, tmp_path / "1.png", x_label="n", y_label="t")
    panels = {"a": {"x": line, "$y": line[:2]}, "b": {"z": line}, "c": {"x": line}}
    three = log_log_plot(panels, tmp_path / "3.png", x_label="n", y_label="t")
    (height, width), (small, narrow) = (imread(p).shape[:2] for p in (three, one))
    assert width == 2 * narrow  # two panels in a row
    assert height > 1.8 * small


def test_a_long_name_is_not_cut(tmp_path):
    line, name = [(1, 2.0), (32, 9.0)], "one of many long names of a contestant " * 2
    path = tmp_path / "x.png"
    image = imread(log_log_plot({"a": {name: line}}, path, x_label="n", y_label="t"))
    # The columns at both edges are empty.
    assert (image[:, [0, 1, 2, -3, -2, -1], :3] == 1).all()


@pytest.mark.parametrize(
    ("panels", "message"),
    [({}, "nothing to draw"), ({"a": {"x": [(0, 1.0)]}}, "positive")],
)
def test_growth_without_points_or_at_zero_is_refused(tmp_path, panels, message):
    with pytest.raises(ValueError, match=message):
        log_log_plot(panels, tmp_path / "no.png", x_label="n", y_label="t")
