import numpy as np
import pytest
from matplotlib.figure import Figure

from advjax.reports.figures import ProbabilityCurve, probability_plot

CURVES = [
    ProbabilityCurve(
        "σ = 1, a", np.array([0.5, 0.9, 0.9, 0.99]), np.array([1, 1, 0, 0])
    ),
    ProbabilityCurve("σ = 2, a", np.array([0.5, 0.8]), np.array([0.5, 0.5])),
    ProbabilityCurve("σ = 2, b", np.array([0.5, 0.8]), np.array([0.4, 0.3])),
]


def drawn(monkeypatch, curves, path):
    """The axes of the figure that is drawn."""
    kept = []
    of = Figure.add_subplot
    monkeypatch.setattr(
        Figure, "add_subplot", lambda *a, **k: kept.append(of(*a, **k)) or kept[-1]
    )
    probability_plot(curves, path, title="p")
    return kept[0]


def test_curves_are_over_the_radius_with_ticks_at_probabilities(monkeypatch, tmp_path):
    axes = drawn(monkeypatch, CURVES, tmp_path / "new" / "p.png")
    assert (tmp_path / "new" / "p.png").exists()
    first, end, second, _, third, _ = axes.get_lines()
    # Φ⁻¹ of 0.5, 0.9 and 0.99
    np.testing.assert_allclose(
        first.get_xdata(), [0, 1.28155, 1.28155, 2.32635], atol=1e-5
    )
    assert end.get_xdata()[0] == pytest.approx(2.32635, abs=1e-5)
    labels = [text.get_text() for text in axes.get_xticklabels()]
    assert labels == ["0.5", "0.6", "0.7", "0.8", "0.9", "0.95", "0.99"]
    # One colour for each name, one style for each kind.
    assert second.get_color() == third.get_color() != first.get_color()
    assert second.get_linestyle() == first.get_linestyle() != third.get_linestyle()


def test_the_same_curves_give_the_same_bytes(tmp_path):
    one, two = (probability_plot(CURVES, tmp_path / f"{n}.png") for n in "ab")
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != probability_plot(CURVES[:2], one).read_bytes()


def test_nothing_to_draw_and_impossible_bounds_are_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one curve"):
        probability_plot([], tmp_path / "p.png")
    for p in (0.4, 1.0):
        wrong = ProbabilityCurve("a", np.array([0.5, p]), np.array([1.0, 1.0]))
        with pytest.raises(ValueError, match="from 1/2 to below 1"):
            probability_plot([wrong], tmp_path / "p.png")
    assert not (tmp_path / "p.png").exists()
