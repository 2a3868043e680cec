import numpy as np
import pytest

from experiments.lab import budgets


def test_budgets_are_read_in_three_ways():
    x = np.full(100, 0.5, np.float32)
    assert budgets.size("0.25", x, "linf") == 0.25
    np.testing.assert_allclose(budgets.size("20dB", x, "linf"), 0.05)
    np.testing.assert_allclose(budgets.size("20dB", x, "l2"), 0.5)
    np.testing.assert_allclose(budgets.size("-40dBFS", x, "linf"), 0.01)
    with pytest.raises(ValueError, match="--budget='-1'"):
        budgets.size("-1", x, "linf")


@pytest.mark.parametrize("text", ["30db", "30DB", " 30 dB "])
def test_units_of_budgets_are_read_in_any_case(text):
    assert budgets.parse(text) == (30.0, "dB")
    assert budgets.label(text) == "30dB"


def test_levels_and_norms_are_read():
    assert budgets.parse("-40dbfs") == (-40.0, "dBFS")
    assert budgets.label("0.01") == "0.01"
    for text in ("1e999", "-0.1", "nan", "inf", "", "900dBFS"):
        with pytest.raises(ValueError, match="--budget"):
            budgets.parse(text)
