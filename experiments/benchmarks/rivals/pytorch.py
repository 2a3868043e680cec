"""PyTorch on JAX's device, and twins of our networks with the same weights.

PyTorch is imported inside the functions: the module can be imported without it.
"""

import jax
import numpy as np

from advjax.classifier import Classifier
from advjax.models.rescnn import ResCNN
from advjax.models.resnet import ResNet18
from advjax.runtime import failures, parallel, targets
from advjax.runtime.precision import products_in
from experiments.benchmarks import harness
from experiments.benchmarks.rivals import resnet

BLOCKS = 3
"""Identity blocks of a stage, as in `ResCNN`."""
_LAYERS = [f"ConvNormClip_{i}" for i in range(4 * (1 + 2 * BLOCKS))]


def device() -> str:
    """PyTorch's name of JAX's device: "cpu", or "cuda" for any accelerator."""
    return "cpu" if targets.on_cpu() else "cuda"


def start(seed: int = 0) -> None:
    """Give PyTorch a thread for each core, as XLA takes them, and a seed.

    Raises:
        ModuleNotFoundError: PyTorch is not installed.
        ValueError: it does not see the accelerator that JAX computes on.
    """
    failures.need("torch")
    import torch

    if device() != "cpu" and not torch.cuda.is_available():
        raise ValueError(
            "JAX computes on an accelerator that PyTorch does not see: install a "
            "PyTorch for it, or set JAX_PLATFORMS=cpu"
        )
    torch.set_num_threads(parallel.num_cores())
    allow_tf32(False)
    torch.manual_seed(seed)


def allow_tf32(allowed: bool) -> None:
    """Let convolutions keep 10 bits of fraction; products stay in float32.

    PyTorch's default allows it. Products are a fraction of a percent of a ResCNN.
    """
    import torch

    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = allowed


def tensor(x, *, channels_first: bool = False):
    """A tensor on JAX's device; `channels_first` moves the last axis to the second."""
    import torch

    x = np.asarray(x)
    x = np.moveaxis(x, -1, 1) if channels_first else x
    return torch.from_numpy(np.array(x, order="C")).to(device())


def array(x) -> np.ndarray:
    """The array of a tensor, the second axis moved to the last."""
    return np.moveaxis(x.detach().cpu().numpy(), 1, -1)


def wait() -> None:
    """Wait for the device."""
    if device() != "cpu":
        import torch

        torch.cuda.synchronize()


def parity(classifier: Classifier, x, tolerance: float) -> float:
    """The greatest difference of our logits and the twin's, relative to the largest.

    Both are computed in float32.

    Raises:
        ValueError: it is greater than `tolerance`.
    """
    import torch

    allow_tf32(False)
    with torch.no_grad():
        theirs = twin(classifier)(tensor(x, channels_first=True)).cpu().numpy()
    with products_in("float32"):
        ours = classifier.module.apply(classifier.variables, x, train=False)
    both = {"JAX": ours, "PyTorch": theirs}
    return harness.differences(both, tolerance, "logits")["PyTorch"]


def fold(net) -> None:
    """Move every batch norm of the twin into the convolution before it."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_eval

    for layer in net.layers:
        layer.conv = fuse_conv_bn_eval(layer.conv, layer.norm)
        layer.norm = torch.nn.Identity()


def twin(classifier: Classifier):
    """The network as a `torch.nn.Module`: [batch, 1, frames, bands] to logits.

    It is in evaluation mode, and written as a PyTorch user would write it: stock
    layers, channels first, batch norm as a layer of its own.

    Raises:
        ValueError: the classifier is no ResCNN, and no ResNet-18 for images of their
            own size.
    """
    if isinstance(classifier.module, ResNet18) and classifier.module.resize is None:
        network = resnet.network(jax.tree.map(np.asarray, classifier.variables))
        return network.eval().requires_grad_(False).to(device())
    if not isinstance(classifier.module, ResCNN):
        raise ValueError(
            f"the PyTorch twin is a rescnn, not a {type(classifier.module).__name__}: "
            "give --model='rescnn(...)' or such a --classifier"
        )
    return _rescnn(classifier).eval().requires_grad_(False).to(device())


def _rescnn(classifier: Classifier):
    import torch
    from torch.nn import functional

    class ConvNormClip(torch.nn.Module):
        def __init__(self, kernel: np.ndarray, stride: int):
            super().__init__()
            size, _, inputs, features = kernel.shape
            self.size, self.stride = size, stride
            # "Same" padding of an even size at stride 2 is one wider at the end, as
            # PyTorch's own padding cannot be.
            own = (size // 2) if stride == 1 else 0
            self.conv = torch.nn.Conv2d(inputs, features, size, stride, own)
            self.norm = torch.nn.BatchNorm2d(features, eps=1e-3)

        def forward(self, x):
            if self.stride > 1:
                height, width = (self._padding(size) for size in x.shape[2:])
                x = functional.pad(x, (*width, *height))
            return functional.hardtanh(self.norm(self.conv(x)), 0.0, 20.0)

        def _padding(self, size: int) -> tuple[int, int]:
            missing = (-(-size // self.stride) - 1) * self.stride + self.size - size
            return missing // 2, missing - missing // 2

    class Network(torch.nn.Module):
        def __init__(self, params):
            super().__init__()
            self.layers = torch.nn.ModuleList(
                ConvNormClip(
                    params[name]["Conv_0"]["kernel"], 1 if i % (1 + 2 * BLOCKS) else 2
                )
                for i, name in enumerate(_LAYERS)
            )
            self.affine = torch.nn.Linear(*params["affine"]["kernel"].shape)
            self.softmax = torch.nn.Linear(*params["softmax"]["kernel"].shape)

        def forward(self, x):
            layers = iter(self.layers)
            for strided in layers:
                x = strided(x)
                for _ in range(BLOCKS):
                    y = next(layers)(x)
                    y = next(layers)(y)
                    x = functional.hardtanh(x + y, 0.0, 20.0)
            # Ours flattens bands before channels.
            pooled = x.mean(dim=2).transpose(1, 2).flatten(1)
            return self.softmax(self.affine(pooled))

    network = Network(classifier.variables["params"])
    weights = _weights(classifier)
    network.load_state_dict({n: torch.tensor(np.array(w)) for n, w in weights.items()})
    return network


def _weights(classifier: Classifier) -> dict[str, np.ndarray]:
    """The classifier's weights and statistics under PyTorch's names and layouts."""
    variables = jax.tree.map(np.asarray, classifier.variables)
    params, statistics = variables["params"], variables["batch_stats"]
    weights = {}
    for i, name in enumerate(_LAYERS):
        conv, norm = params[name]["Conv_0"], params[name]["BatchNorm_0"]
        seen = statistics[name]["BatchNorm_0"]
        weights |= {
            f"layers.{i}.conv.weight": conv["kernel"].transpose(3, 2, 0, 1),
            f"layers.{i}.conv.bias": conv["bias"],
            f"layers.{i}.norm.weight": norm["scale"],
            f"layers.{i}.norm.bias": norm["bias"],
            f"layers.{i}.norm.running_mean": seen["mean"],
            f"layers.{i}.norm.running_var": seen["var"],
            f"layers.{i}.norm.num_batches_tracked": np.array(0),
        }
    for name in ("affine", "softmax"):
        weights[f"{name}.weight"] = params[name]["kernel"].T
        weights[f"{name}.bias"] = params[name]["bias"]
    return weights
