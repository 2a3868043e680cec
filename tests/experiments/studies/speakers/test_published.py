"""The publication's entries agree with the largest radii of its votes."""

import pytest

from advjax.reports.tables import PUBLICATION_RADII
from advjax.smoothing import max_radius
from experiments.studies.speakers import published


@pytest.mark.parametrize("stage", ["mfbe", "magnitude"])
def test_his_zeros_are_those_beyond_the_cap(stage):
    table = published.CERTIFIED[stage]
    zeros = 0
    for sigma, row in table.items():
        assert len(row) == len(PUBLICATION_RADII)
        assert list(row) == sorted(row, reverse=True)
        cap = max_radius(sigma, published.NUM_ESTIMATION, published.ALPHA)
        for radius, value in zip(PUBLICATION_RADII, row, strict=True):
            assert (value == 0) == (radius > cap)
            zeros += value == 0
    assert (len(table), zeros) == (5, 21)


@pytest.mark.parametrize(
    ("radii", "table"),
    [
        (published.CIFAR_RADII, published.CIFAR),
        (published.IMAGENET_RADII, published.IMAGENET),
    ],
)
def test_zeros_of_images_are_those_beyond_the_cap(radii, table):
    for sigma, row in table.items():
        assert len(row) == len(radii)
        cap = max_radius(sigma, published.COHEN_ESTIMATION, published.ALPHA)
        assert [value == 0 for value in row] == [radius > cap for radius in radii]
