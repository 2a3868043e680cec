import jax
import jax.numpy as jnp
import pytest

from advjax.models import AlexNet
from tests.models.shapes import num_parameters

# Side of the kernel, input channels that a feature meets, features; as published.
CONVOLUTIONS = [(11, 1, 96), (5, 48, 256), (3, 256, 384), (3, 192, 384), (3, 192, 256)]
DENSE = [(6 * 6 * 256, 4096), (4096, 4096), (4096, 1000)]


def test_full_width_has_the_published_parameters():
    expected = sum(k * k * n * m + m for k, n, m in CONVOLUTIONS)
    expected += sum(n * m + m for n, m in DENSE)
    # 60,965,224 is the count for three input channels.
    assert expected == 60_965_224 - 2 * 11 * 11 * 96
    assert num_parameters(AlexNet(num_classes=1000), (300, 200)) == expected


def test_an_input_smaller_than_the_first_kernel_is_refused():
    network = AlexNet(num_classes=2, width=4, resize=None)
    with pytest.raises(ValueError, match="larger inputs"):
        network.init(jax.random.key(0), jnp.zeros((1, 40, 10, 1)), train=False)
    assert num_parameters(network, (11, 11)) == num_parameters(network, (90, 70))
