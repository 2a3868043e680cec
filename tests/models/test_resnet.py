import pytest

from advjax.models import ResNet18, ResNet34, ResNet56
from tests.models.shapes import heights, num_parameters


def conv(size, inputs, outputs):
    """A convolution without bias, and the scale and shift of batch norm."""
    return size * size * inputs * outputs + 2 * outputs


def stages(blocks, width, projection):
    total, inputs = 0, width
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        for _ in range(count):
            total += conv(3, inputs, outputs) + conv(3, outputs, outputs)
            if projection and inputs != outputs:
                total += conv(1, inputs, outputs)
            inputs = outputs
    return total


@pytest.mark.parametrize(
    ("network", "blocks", "of_three_channels"),
    [(ResNet18, (2, 2, 2, 2), 11_689_512), (ResNet34, (3, 4, 6, 3), 21_797_672)],
)
def test_full_width_has_the_parameters_of_imagenet(network, blocks, of_three_channels):
    expected = conv(7, 1, 64) + stages(blocks, 64, True) + 512 * 1000 + 1000
    assert expected == of_three_channels - 2 * 7 * 7 * 64
    assert num_parameters(network(num_classes=1000), (300, 200)) == expected


def test_resnet56_has_the_parameters_of_cifar():
    expected = conv(3, 1, 16) + stages((9, 9, 9), 16, False) + 64 * 10 + 10
    assert expected == 853_018 - 2 * 3 * 3 * 16
    assert num_parameters(ResNet56(num_classes=10), (300, 200)) == expected


@pytest.mark.parametrize(
    ("network", "sides"),
    [
        (ResNet18, [56] * 2 + [28] * 2 + [14] * 2 + [7] * 2),
        (ResNet34, [56] * 3 + [28] * 4 + [14] * 6 + [7] * 3),
        (ResNet56, [32] * 9 + [16] * 9 + [8] * 9),
    ],
)
def test_maps_have_the_sizes_of_the_paper(network, sides):
    maps = heights(network(num_classes=10, width=4), (300, 200))
    assert [maps[f"BasicBlock_{index}"] for index in range(len(sides))] == sides
