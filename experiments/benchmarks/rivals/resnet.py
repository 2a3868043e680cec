"""A twin of our ResNet-18 with the same weights, of PyTorch's stock layers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

WEIGHTS = {
    "weight": ("params", "scale"), "bias": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"), "running_var": ("batch_stats", "var"),
}  # fmt: skip


def network(variables: Mapping[str, Any]):
    """The network as a `torch.nn.Module`, for images of their own size.

    Args:
        variables: arrays of `params` and `batch_stats`.
    """
    import torch
    from torch.nn import functional

    def conv_norm(path: tuple[str, ...], stride: int = 1):
        kernel = _at(variables["params"], (*path, "Conv_0", "kernel"))
        size, _, inputs, features = kernel.shape
        conv = torch.nn.Conv2d(inputs, features, size, stride, size // 2, bias=False)
        norm = torch.nn.BatchNorm2d(features, eps=1e-5)
        with torch.no_grad():
            conv.weight.copy_(torch.tensor(kernel.transpose(3, 2, 0, 1).copy()))
            for name, (kind, ours) in WEIGHTS.items():
                values = _at(variables[kind], (*path, "BatchNorm_0", ours))
                getattr(norm, name).copy_(torch.tensor(values))
        return torch.nn.Sequential(conv, norm)

    class Block(torch.nn.Module):
        def __init__(self, name: str, stride: int):
            super().__init__()
            self.first = conv_norm((name, "ConvNorm_0"), stride)
            self.second = conv_norm((name, "ConvNorm_1"))
            self.shortcut = torch.nn.Identity()
            if "ConvNorm_2" in variables["params"][name]:
                self.shortcut = conv_norm((name, "ConvNorm_2"), stride)

        def forward(self, x):
            y = self.second(functional.relu(self.first(x)))
            return functional.relu(self.shortcut(x) + y)

    class ResNet(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stem = conv_norm(("ConvNorm_0",), 2)
            self.pool = torch.nn.MaxPool2d(3, 2, ceil_mode=True)
            self.blocks = torch.nn.Sequential(
                *(
                    Block(f"BasicBlock_{i}", 2 if i in (2, 4, 6) else 1)
                    for i in range(8)
                )
            )
            dense = variables["params"]["Dense_0"]
            self.head = torch.nn.Linear(*dense["kernel"].shape)
            with torch.no_grad():
                self.head.weight.copy_(torch.tensor(dense["kernel"].T.copy()))
                self.head.bias.copy_(torch.tensor(dense["bias"]))

        def forward(self, x):
            # Images in [0, 1] are centred, as ours centres them.
            x = self.pool(functional.relu(self.stem(2 * x - 1)))
            return self.head(self.blocks(x).mean(dim=(2, 3)))

    return ResNet()


def _at(tree: Mapping[str, Any], path: tuple[str, ...]) -> np.ndarray:
    for name in path:
        tree = tree[name]
    return np.array(tree)
