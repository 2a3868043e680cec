import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tests.interop.networks", exc_type=ImportError)

import torch  # noqa: E402
from torch import nn  # noqa: E402

from advjax.interop import from_torch  # noqa: E402


class Flat(nn.Module):
    """A layer as a function from one row of numbers to another."""

    def __init__(self, layer, shape):
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward(self, x):
        return self.layer(x.view(-1, *self.shape)).flatten(1)


MAPS = (6, 9, 8)
LAYERS = {
    "one axis": (nn.Conv1d(3, 4, 5, stride=3, padding=2), (3, 20)),
    "one channel": (nn.Conv1d(1, 4, 9, stride=4), (1, 50)),
    "a long kernel": (nn.Conv1d(1, 4, 150, stride=20), (1, 400)),
    "two axes": (nn.Conv2d(6, 4, (3, 2), stride=(2, 1), padding=(1, 0)), MAPS),
    "as wide": (nn.Conv2d(6, 5, 4, padding="same", bias=False), MAPS),
    "reflected": (nn.Conv2d(6, 4, 3, padding=1, padding_mode="reflect"), MAPS),
    "dilated": (nn.Conv2d(6, 4, 3, dilation=(2, 1), padding=2), MAPS),
    "few groups": (nn.Conv2d(6, 4, 3, groups=2), MAPS),
    "each channel": (nn.Conv1d(18, 36, 3, groups=18), (18, 9)),
    "transposed": (nn.ConvTranspose1d(3, 4, 5, stride=2), (3, 20)),
    "three axes": (nn.Conv3d(2, 3, 2), (2, 4, 5, 3)),
    "pool": (nn.MaxPool2d(3, stride=2, padding=1), MAPS),
    "pool the rest": (nn.MaxPool2d((2, 3), ceil_mode=True), MAPS),
    "pool apart": (nn.MaxPool2d(2, stride=1, dilation=2), MAPS),
    "pool one axis": (nn.MaxPool1d(3, stride=2), (3, 20)),
    "pool the zeros": (nn.MaxPool1d(2, stride=4, padding=1, ceil_mode=True), (3, 9)),
    "pool three axes": (nn.MaxPool3d(2), (2, 4, 5, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_gradient_are_those_of_pytorch(name):
    layer, shape = LAYERS[name]
    module = Flat(layer, shape).eval()
    x = np.random.default_rng(0).normal(size=(2, np.prod(shape))).astype(np.float32)
    ours = jax.vmap(from_torch(module))
    slope = jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(ours(x)))))(x)
    point = torch.from_numpy(x).requires_grad_()
    native = module(point)
    native.sin().sum().backward()
    np.testing.assert_allclose(jax.jit(ours)(x), native.detach(), atol=1e-5)
    np.testing.assert_allclose(slope, point.grad, atol=1e-5)


def test_the_places_of_the_greatest_are_those_of_pytorch():
    class Places(nn.Module):
        def forward(self, x):
            found, places = nn.functional.max_pool1d(x[:, None], 4, return_indices=True)
            return torch.cat([found, places.float()], -1)[:, 0]

    module = Places().eval()
    x = torch.randperm(12, generator=torch.manual_seed(0)).float()
    expected = module(x[None])[0]
    np.testing.assert_array_equal(from_torch(module)(x.numpy()), expected)


def test_a_program_has_channels_last_alone():
    module = Flat(nn.Sequential(nn.Conv2d(6, 8, 3), nn.MaxPool2d(2)), MAPS).eval()
    logits_fn = from_torch(module)
    gradient = jax.grad(lambda x: jnp.sum(logits_fn(x)))
    text = jax.jit(gradient).lower(jnp.zeros(np.prod(MAPS))).as_text()
    found = [line for line in text.splitlines() if "stablehlo.convolution" in line]
    assert found and all("[b, 0, 1, f]x[0, 1, i, o]" in line for line in found)
    assert "select_and_scatter" not in text and "scatter" not in text
