import numpy as np
import pytest

from advjax.reports.figures import Staircase, staircase_plot

CURVES = [
    Staircase("A, plain", np.array([0.1, 0.2, np.inf]), "linf"),
    Staircase("A, adversarial", np.array([0.4, np.inf, np.inf]), "linf"),
]


def test_the_same_curves_give_the_same_bytes(tmp_path):
    panels = {("row", "one"): CURVES, ("row", "two"): CURVES[:1]}
    options = {"rows": ["row"], "columns": ["one", "two"], "y_label": "fooled"}
    first = staircase_plot(panels, tmp_path / "a" / "first.png", **options)
    second = staircase_plot(panels, tmp_path / "second.png", **options)
    assert first.read_bytes() == second.read_bytes()
    less = staircase_plot(
        {("row", "one"): CURVES[:1]}, tmp_path / "less.png", **options
    )
    assert less.read_bytes() != first.read_bytes()


def test_curves_that_nothing_fools_are_drawn_too(tmp_path):
    never = [Staircase("A, plain", np.full(3, np.inf), "l2")]
    path = staircase_plot(
        {("row", "one"): never}, tmp_path / "p.png", rows=["row"], columns=["one"],
        y_label="fooled",
    )  # fmt: skip
    assert path.stat().st_size > 1000
    with pytest.raises(ValueError, match="nothing to draw"):
        staircase_plot({}, path, rows=[], columns=[], y_label="")
