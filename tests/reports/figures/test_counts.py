import numpy as np
import pytest

from advjax.reports.figures import label_bars_plot, matrix_plot

LABELS = ("dog_bark", "horn")


def bars(counts, path):
    return label_bars_plot(
        counts, path, labels=LABELS, x_label="new label", y_label="clips"
    )


def matrices(values, path):
    texts = {name: [["–", "50 %"], ["100 %", "–"]] for name in values}
    return matrix_plot(
        values, path, texts=texts, labels=LABELS, row_label="label",
        column_label="target", value_label="success",
    )  # fmt: skip


def read(path):
    from matplotlib.image import imread

    return imread(path)[:, :, :3]


def test_more_counts_are_more_ink(tmp_path):
    def blue(counts):
        image = read(bars({"DeepFool": np.asarray(counts)}, tmp_path / "new/bars.png"))
        return int((np.abs(image - (0.23, 0.43, 0.65)).max(axis=2) < 0.05).sum())

    assert blue([4, 0]) < blue([4, 3]) < blue([4, 4])


def test_a_matrix_is_darker_where_its_value_is_higher_and_blank_where_it_has_none(
    tmp_path,
):
    def mean(value):
        values = np.full((2, 2), np.nan)
        values[0, 1] = value
        return read(matrices({"L-BFGS": values}, tmp_path / "matrix.png")).mean()

    assert mean(1.0) < mean(0.3) < mean(np.nan)


@pytest.mark.parametrize("draw", [bars, matrices])
def test_nothing_cannot_be_drawn(tmp_path, draw):
    with pytest.raises(ValueError, match="nothing to draw"):
        draw({}, tmp_path / "none.png")
