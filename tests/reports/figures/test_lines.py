import pytest
from matplotlib import axes as matplotlib_axes
from matplotlib.image import imread

from advjax.reports.figures import line_plot

LINE = [(0.5, 0.0), (0.9, 1.3), (0.999, 3.1)]


@pytest.mark.parametrize("x_scale", ["linear", "log", "logit"])
def test_lines_are_drawn_on_every_scale(x_scale, tmp_path, monkeypatch):
    drawn = []
    original = matplotlib_axes.Axes.plot

    def plot(axes, x, y, **look):
        drawn.append((axes, list(zip(x, y, strict=True)), look["label"]))
        return original(axes, x, y, **look)

    monkeypatch.setattr(matplotlib_axes.Axes, "plot", plot)
    path = line_plot(
        {"a": LINE, "$b": LINE[1:]},
        tmp_path / "new" / "x.png",
        x_label="p",
        y_label="radius",
        x_scale=x_scale,
    )
    assert imread(path).shape[0] > 400
    assert [each[1:] for each in drawn] == [(LINE, "a"), (LINE[1:], r"\$b")]
    axes = drawn[0][0]
    assert axes.get_xscale() == x_scale and axes.get_ylim()[0] == 0
    if x_scale == "logit":
        named = [text.get_text() for text in axes.get_xticklabels()]
        assert named[:4] == ["0.5", "0.9", "0.99", "0.999"]


@pytest.mark.parametrize(
    ("lines", "x_scale", "message"),
    [({}, "log", "nothing to draw"), ({"a": LINE}, "mel", "linear, log, logit")],
)
def test_no_lines_and_other_scales_are_refused(lines, x_scale, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        line_plot(lines, tmp_path / "no.png", x_label="p", y_label="r", x_scale=x_scale)
    assert not any(tmp_path.iterdir())
