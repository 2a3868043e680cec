import struct
import subprocess
import sys

import matplotlib.image
import numpy as np
import pytest

from advjax import reports
from advjax.metrics import Share
from advjax.reports.figures import (
    AttackedCurve,
    attacked_accuracy_plot,
    certified_accuracy_plot,
    curve,
)
from advjax.runs.folder import open_run
from advjax.runs.row_types import CERTIFICATES, CertificateRow, Run
from advjax.smoothing import Certificate, Certificates


def run(label, radii, *, wrong=0, cap=float("inf")) -> Run:
    """A run with right points at these radii, and wrong ones at radius 1."""
    points = [(True, radius) for radius in radii] + [(False, 1.0)] * wrong
    rows = [
        CertificateRow(i, 1, 1, radius, correct, 0.5, f"{i}", 0.9, 95, 100, 20.0)
        for i, (correct, radius) in enumerate(points)
    ]
    return Run(label, CERTIFICATES.rows(rows), cap)


def size(path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    return struct.unpack(">II", content[16:24])


def test_the_curve_of_four_points_without_a_cap():
    radius, accuracy = curve(run("a", [0.1, 0.3, 0.3], wrong=1))
    np.testing.assert_array_equal(radius, [0.0, 0.1, 0.3, 0.3])
    np.testing.assert_array_equal(accuracy, [0.75, 0.75, 0.5, 0.0])


def test_a_curve_ends_at_its_cap_and_does_not_fall_there():
    # Rounding apart: the radius and the cap are computed in two places.
    radius, accuracy = curve(run("a", [0.1, 0.5 * (1 - 1e-15)], cap=0.5))
    np.testing.assert_allclose(radius, [0.0, 0.1, 0.5])
    np.testing.assert_array_equal(accuracy, [1.0, 1.0, 0.5])


def test_a_curve_that_ends_before_its_cap_is_0_up_to_it():
    radius, accuracy = curve(run("a", [0.1, 0.2], cap=0.5))
    np.testing.assert_array_equal(radius, [0.0, 0.1, 0.2, 0.2, 0.5])
    np.testing.assert_array_equal(accuracy, [1.0, 1.0, 0.5, 0.0, 0.0])


def test_a_curve_with_no_right_point_is_0():
    radius, accuracy = curve(run("a", [], wrong=2, cap=0.5))
    np.testing.assert_array_equal(accuracy, np.zeros(3))
    assert radius[-1] == 0.5


@pytest.mark.parametrize("count", [1, 10])
def test_a_png_of_the_right_size(tmp_path, count):
    rng = np.random.default_rng(0)
    runs = [
        run(f"librispeech mfbe sigma={i} $_{i}", rng.random(40) / 2, wrong=i, cap=0.5)
        for i in range(count)
    ]
    path = certified_accuracy_plot(runs, tmp_path / "new" / "curve.png", units="mfbe")
    assert path == tmp_path / "new" / "curve.png"
    width, height = size(path)
    assert width == 1200 and abs(height - (704 + 35.2 * (count + 1))) <= 1
    # The first curve is blue; pink is the fourth.
    pixels = matplotlib.image.imread(path)[..., :3]
    blue = np.array([0x00, 0x72, 0xB2]) / 255
    pink = np.array([0xCC, 0x79, 0xA7]) / 255
    assert (np.abs(pixels - blue).max(axis=-1) < 0.01).sum() > 500
    has_pink = (np.abs(pixels - pink).max(axis=-1) < 0.01).sum() > 200
    assert has_pink == (count == 10)


def test_the_same_rows_give_the_same_bytes(tmp_path):
    runs = [run("a", [0.1, 0.2], cap=0.5), run("b", [0.3], wrong=2)]
    before = dict(matplotlib.rcParams)
    first, second = (
        certified_accuracy_plot(runs, tmp_path / name, units="mfbe", title="Voices")
        for name in ("a.png", "b.png")
    )
    assert first.read_bytes() == second.read_bytes()
    assert dict(matplotlib.rcParams) == before


def test_nothing_to_draw_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="at least one run"):
        certified_accuracy_plot([], tmp_path / "a.png", units="mfbe")
    with pytest.raises(ValueError, match="no rows"):
        certified_accuracy_plot([run("a", [])], tmp_path / "a.png", units="mfbe")


def test_reports_import_without_matplotlib_and_jax():
    code = (
        "import sys; from advjax.reports import figures, tables\n"
        "from advjax.runs import folder\n"
        "print({'matplotlib', 'jax'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_accuracy_under_attack_is_drawn_for_budgets_and_smallest_distances(tmp_path):
    curves = [
        AttackedCurve("budgets", np.array([0.0, 0.1, 0.2]), np.array([1.0, 0.5, 0.1])),
        AttackedCurve("smallest $x", np.array([0.0, 0.15]), np.array([1, 0.2]), True),
    ]
    given = {"x_label": "linf norm"}
    path = attacked_accuracy_plot(curves, tmp_path / "new" / "a.png", **given)
    assert size(path)[0] == 1200
    turned = attacked_accuracy_plot(
        curves, tmp_path / "b.png", weaker_to_the_right=True, **given
    )
    assert path.read_bytes() != turned.read_bytes()
    with pytest.raises(ValueError, match="at least one curve"):
        attacked_accuracy_plot([], tmp_path / "c.png", **given)


def test_a_logarithmic_axis_shows_what_holds_without_any_perturbation(tmp_path):
    first, second = np.array([0.0, 1e-3, 1e-1]), np.array([1e-5, 1e-4])
    curves = [
        AttackedCurve("from 0", first, np.array([1.0, 0.5, 0.0]), stepped=True),
        AttackedCurve("from 1e-5", second, np.array([0.8, 0.2])),
    ]
    drawn = {
        name: attacked_accuracy_plot(
            curves, tmp_path / f"{name}.png", x_label="l2", logarithmic=logarithmic
        ).read_bytes()
        for name, logarithmic in (("log", True), ("linear", False))
    }
    assert drawn["log"] != drawn["linear"]
    # The line at 1 begins at the left edge, not at the first fall.
    image = matplotlib.image.imread(tmp_path / "log.png")[..., :3]
    coloured = (image.max(axis=-1) - image.min(axis=-1)) > 0.3
    top_line = coloured[: len(image) // 3].sum(axis=1).argmax()
    columns = np.flatnonzero(coloured[top_line])
    assert columns[0] < 0.2 * image.shape[1] < 0.4 * image.shape[1] < columns[-1]


def test_a_curve_on_axes_of_ones_own(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    axes = Figure().add_subplot()
    mine = run("mine", [0.1, 0.3, 0.3], wrong=1, cap=0.5)
    assert reports.certified_accuracy(axes, mine, color="red") is axes
    curve_line, end = axes.get_lines()
    np.testing.assert_array_equal(curve_line.get_xydata()[:3, 0], [0.0, 0.1, 0.3])
    assert curve_line.get_label() == "mine"
    assert (end.get_xdata()[0], end.get_color()) == (0.5, "red")
    (band,) = axes.collections
    # Of 3 out of 4, at both ends.
    low, high = Share(3, 4).interval()
    heights = band.get_paths()[0].vertices[:, 1]
    assert np.isclose(heights, low).any() and np.isclose(heights, high).any()
    assert axes.get_ylabel() == "certified accuracy"


def test_a_curve_of_a_runs_folder_and_of_certificates(tmp_path):
    pytest.importorskip("matplotlib")
    from matplotlib.figure import Figure

    rows = [
        CertificateRow(i, 1, 1, 0.1, True, 0.5, f"{i}", 0.9, 95, 100, 20.0)
        for i in range(2)
    ]
    settings = {"num_points": 2, "cap": 0.5, "noise_enters_at": "mfbe"}
    with open_run(tmp_path / "a", settings=settings, environment={}) as folder:
        for row in rows:
            folder.append(row)
    certificates = Certificates(
        [Certificate(1, 0.1, 0.9, 95, 100)] * 2, np.array([1, 1]), 0.5, 1e-3
    )
    axes = Figure().add_subplot()
    for source in (tmp_path / "a", certificates):
        reports.certified_accuracy(axes, source, band=False)
    first, _, second, _ = axes.get_lines()
    np.testing.assert_array_equal(first.get_xydata(), second.get_xydata())
    assert first.get_color() != second.get_color()
    assert (first.get_label(), second.get_label()) == ("a", "certified")
