import importlib.util

import jax
import numpy as np
import pytest

from advjax.arguments import num_classes

torch = pytest.importorskip("torch", exc_type=ImportError)
if importlib.util.find_spec("torchax") is None:  # an import would change settings
    pytest.skip("torchax is not installed", allow_module_level=True)

from advjax.interop import from_torch  # noqa: E402
from tests.interop import networks  # noqa: E402

nn = torch.nn


def batch(count=2, samples=3200):
    noise = np.random.default_rng(0).normal(0, 0.1, (count, samples))
    return noise.astype(np.float32)


def both(module, x):
    """Logits of the module itself, and of its logits function."""
    with torch.no_grad():
        native = module(torch.from_numpy(x)).numpy()
    return native, np.asarray(jax.jit(jax.vmap(from_torch(module)))(x))


@pytest.mark.parametrize("front", [networks.ConvFront, networks.StftFront])
def test_logits_are_those_of_the_module(front):
    native, ours = both(networks.network(front, widths=(4, 4, 8, 8, 8)), batch())
    np.testing.assert_allclose(ours, native, atol=1e-5)


class Odd(nn.Module):
    """Weights in every place that a module may keep them."""

    def __init__(self):
        super().__init__()
        self.window = torch.hann_window(16)
        self.conv = nn.utils.parametrizations.weight_norm(nn.Conv1d(1, 4, 16))
        self.conv.bias.data.fill_(0.5)
        self.tied = self.conv
        self.register_buffer("scale", torch.tensor(2.0, dtype=torch.float64))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        x = (x.unfold(-1, 16, 8) * self.window).flatten(1)
        return self.head(self.tied(x[:, None]).mean(-1)) * self.scale.float()


def test_weights_are_found_in_every_place():
    native, ours = both(Odd().eval(), batch(samples=160))
    np.testing.assert_allclose(ours, native, atol=1e-5)


def test_a_module_in_training_mode_is_refused():
    module = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5)).eval()
    module[1].train()
    with pytest.raises(ValueError, match=r"training mode \(1\).*module.eval\(\)"):
        from_torch(module)
    with pytest.raises(ValueError, match="type int: give a torch.nn.Module"):
        from_torch(3)


class Constants(nn.Module):
    """Tensors that no module holds: in a list, and made by each call."""

    def __init__(self):
        super().__init__()
        self.tables = [torch.linspace(1, 2, 4)]

    def forward(self, x):
        x = torch.cat([torch.zeros(len(x), 2), x], 1)[:, torch.arange(2, 6)]
        spectrum = torch.stft(
            x, 4, 1, window=torch.hann_window(4), center=False, return_complex=True
        )
        return x * self.tables[0] + spectrum.abs().sum((1, 2))[:, None]


def test_tensors_that_no_module_holds_become_constants():
    native, ours = both(Constants().eval(), batch(samples=4))
    np.testing.assert_allclose(ours, native, atol=1e-6)


class Applied(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: nn.AdaptiveMaxPool2d(2)(x.view(1, 2, 4)), "lacks.*adaptive_max_po"),
        (lambda x: x if x.max() > 0 else -x, "cannot trace.*Concretization"),
        (lambda x: torch.from_numpy(x.numpy()), "cannot trace.*TracerArray"),
    ],
)
def test_a_module_that_torchax_cannot_trace_is_refused_in_words(function, words):
    logits_fn = from_torch(Applied(function).eval())
    with pytest.raises(ValueError, match=words):
        num_classes(logits_fn, np.zeros(8, np.float32))


def test_settings_of_torch_and_jax_stay():
    assert torch.backends.mha.get_fastpath_enabled()
    assert torch.get_default_dtype() == torch.float32
    assert not jax.config.jax_enable_x64
    assert isinstance(torch.ones(2) + 1, torch.Tensor)
    assert type(torch.ones(2)) is torch.Tensor
