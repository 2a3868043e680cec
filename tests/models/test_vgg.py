from advjax.models import VGG16
from tests.models.shapes import num_parameters

# The column of configuration D.
CHANNELS = [64] * 2 + [128] * 2 + [256] * 3 + [512] * 6
DENSE = [(7 * 7 * 512, 4096), (4096, 4096), (4096, 1000)]


def test_full_width_has_the_published_parameters():
    inputs = [1, *CHANNELS[:-1]]
    expected = sum(9 * n * m + m for n, m in zip(inputs, CHANNELS, strict=True))
    expected += sum(n * m + m for n, m in DENSE)
    # 138,357,544 is the count for three input channels.
    assert expected == 138_357_544 - 2 * 9 * 64
    assert num_parameters(VGG16(num_classes=1000), (300, 200)) == expected


def test_the_count_at_native_size_does_not_depend_on_the_size():
    network = VGG16(num_classes=2, width=4, resize=None)
    assert num_parameters(network, (1, 1)) == num_parameters(network, (90, 70))
